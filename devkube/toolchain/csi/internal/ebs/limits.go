package ebs

import (
	"fmt"
)

// limits are EC2's for one volume type (CreateVolume and ModifyVolume of the API's 2016-11-15
// version, botocore 1.44.5). Sizes are in GiB, throughput in MiB/s; 0 is "can't be set".
type limits struct {
	leastSize, mostSize             int64
	leastIOPS, mostIOPS, iopsPerGiB int64
	leastThroughput, mostThroughput int64
	needsIOPS                       bool
}

var types = map[string]limits{
	"gp3":      {leastSize: 1, mostSize: 65536, leastIOPS: 3000, mostIOPS: 80000, iopsPerGiB: 500, leastThroughput: 125, mostThroughput: 2000},
	"gp2":      {leastSize: 1, mostSize: 16384},
	"io1":      {leastSize: 4, mostSize: 16384, leastIOPS: 100, mostIOPS: 64000, iopsPerGiB: 50, needsIOPS: true},
	"io2":      {leastSize: 4, mostSize: 65536, leastIOPS: 100, mostIOPS: 256000, iopsPerGiB: 1000, needsIOPS: true},
	"st1":      {leastSize: 125, mostSize: 16384},
	"sc1":      {leastSize: 125, mostSize: 16384},
	"standard": {leastSize: 1, mostSize: 1024},
}

// Volume is what EC2 knows of a volume's performance.
type Volume struct {
	Type             string
	SizeGiB          int64
	IOPS, Throughput int64
}

// Refusal is an error of EC2's, by its code.
type Refusal struct{ Code, Text string }

func (r *Refusal) Error() string { return r.Code + ": " + r.Text }

func badValue(form string, values ...any) error {
	return &Refusal{"InvalidParameterValue", fmt.Sprintf(form, values...)}
}

// Decide completes a volume with the defaults of its type, or returns the Refusal that EC2 would
// answer with.
func Decide(volume Volume) (Volume, error) {
	limit, known := types[volume.Type]
	if !known {
		return volume, badValue("Value (%s) for parameter volumeType is invalid.", volume.Type)
	}
	if volume.SizeGiB < limit.leastSize {
		return volume, badValue("Volume of %dGiB is too small for volume type %s; minimum is %dGiB.", volume.SizeGiB, volume.Type, limit.leastSize)
	}
	if volume.SizeGiB > limit.mostSize {
		return volume, badValue("Volume of %dGiB is too large for volume type %s; maximum is %dGiB.", volume.SizeGiB, volume.Type, limit.mostSize)
	}
	if volume.Type == "gp3" { // PR 1879 of the driver: EC2 raises less than the baseline to it
		volume.IOPS = max(volume.IOPS, limit.leastIOPS)
		volume.Throughput = max(volume.Throughput, limit.leastThroughput)
	}
	if limit.needsIOPS && volume.IOPS == 0 {
		return volume, &Refusal{"InvalidParameterCombination", fmt.Sprintf("The parameter iops must be specified for %s volumes.", volume.Type)}
	}
	if volume.IOPS > 0 {
		if err := limit.checkIOPS(volume); err != nil {
			return volume, err
		}
	}
	if volume.Throughput > 0 {
		return volume, limit.checkThroughput(volume)
	}
	return volume, nil
}

func (l limits) checkIOPS(volume Volume) error {
	switch {
	case l.mostIOPS == 0:
		return &Refusal{"InvalidParameterCombination", fmt.Sprintf("The parameter iops is not supported for %s volumes.", volume.Type)}
	case volume.IOPS < l.leastIOPS:
		return badValue("Volume iops of %d is too low; minimum is %d.", volume.IOPS, l.leastIOPS)
	case volume.IOPS > l.mostIOPS:
		return badValue("Volume iops of %d is too high; maximum is %d.", volume.IOPS, l.mostIOPS)
	case volume.IOPS > l.leastIOPS && volume.IOPS > l.iopsPerGiB*volume.SizeGiB:
		ratio := float64(volume.IOPS) / float64(volume.SizeGiB)
		return badValue("Iops to volume size ratio of %f is too high; maximum is %d.", ratio, l.iopsPerGiB)
	}
	return nil
}

func (l limits) checkThroughput(volume Volume) error {
	switch {
	case l.mostThroughput == 0:
		return &Refusal{"InvalidParameterCombination", fmt.Sprintf("The parameter throughput is not supported for %s volumes.", volume.Type)}
	case volume.Throughput > l.mostThroughput:
		return badValue("Throughput (MiBps) of %d is too high; maximum is %d.", volume.Throughput, l.mostThroughput)
	case volume.Throughput*4 > volume.IOPS:
		ratio := float64(volume.Throughput) / float64(volume.IOPS)
		return badValue("Throughput (MiBps) to iops ratio of %f is too high; maximum is 0.250000 MiBps per iops.", ratio)
	}
	return nil
}

// capped is what the driver itself makes of the iops that a class asks for, before EC2 sees them
// (capIOPS in the driver's pkg/cloud/cloud.go).
func capped(asked int64, volume Volume, raise bool) int64 {
	limit := types[volume.Type]
	if limit.mostIOPS == 0 { // the driver doesn't send them
		return 0
	}
	iops := min(asked, limit.mostIOPS)
	if iops < limit.leastIOPS && raise {
		iops = limit.leastIOPS
	}
	if most := limit.iopsPerGiB * volume.SizeGiB; most >= limit.leastIOPS {
		iops = min(iops, most)
	}
	return iops
}

// isTrue is the driver's own: nothing else counts as true, not even True.
func isTrue(value string) bool { return value == "true" }
