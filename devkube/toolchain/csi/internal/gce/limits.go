package gce

import (
	"fmt"
	"net/http"
	"strings"

	"google.golang.org/api/googleapi"
)

// limits are Compute's for one disk type, where its pages or the driver's own tests name them
// (cloud.google.com/compute/docs/disks). Sizes are in GiB, throughput in MiB/s; a most of 0 is
// "can't be set".
type limits struct {
	leastSize, mostSize             int64
	leastIOPS, mostIOPS, iopsPerGiB int64
	leastThroughput, mostThroughput int64
}

var types = map[string]limits{
	"pd-standard":          {leastSize: 1, mostSize: 65536},
	"pd-balanced":          {leastSize: 1, mostSize: 65536},
	"pd-ssd":               {leastSize: 1, mostSize: 65536},
	"pd-extreme":           {leastSize: 500, mostSize: 65536, leastIOPS: 2500, mostIOPS: 120000},
	"hyperdisk-balanced":   {leastSize: 4, mostSize: 65536, leastIOPS: 3000, mostIOPS: 160000, iopsPerGiB: 500, leastThroughput: 140, mostThroughput: 2400},
	"hyperdisk-extreme":    {leastSize: 64, mostSize: 65536, leastIOPS: 128, mostIOPS: 350000, iopsPerGiB: 1000},
	"hyperdisk-throughput": {leastSize: 2048, mostSize: 32768, leastThroughput: 20, mostThroughput: 2400},
	"hyperdisk-ml":         {leastSize: 4, mostSize: 65536, leastThroughput: 24, mostThroughput: 1200000},
	"hyperdisk-balanced-high-availability": {
		leastSize: 4, mostSize: 65536, leastIOPS: 3000, mostIOPS: 100000, iopsPerGiB: 500, leastThroughput: 140, mostThroughput: 2400,
	},
}

// iopsRange is what a disk of this size takes: the bounds of its type, less where it is small.
func (l limits) iopsRange(gib int64) (least, most int64) {
	if l.iopsPerGiB == 0 {
		return l.leastIOPS, l.mostIOPS
	}
	return min(l.leastIOPS, l.iopsPerGiB*gib), min(l.mostIOPS, l.iopsPerGiB*gib)
}

// defaults are the IOPS and throughput that Compute gives where none are asked for: a Hyperdisk has
// its type's least. A small Hyperdisk Balanced gets less, and can't grow out of it without a change
// of its IOPS (issue 1816 of the driver).
func defaults(diskType string, gib, iops, throughput int64) (int64, int64) {
	if limit := types[diskType]; strings.HasPrefix(diskType, "hyperdisk-") {
		if least, _ := limit.iopsRange(gib); iops == 0 {
			iops = least
		}
		if throughput == 0 {
			throughput = limit.leastThroughput
		}
	}
	return iops, throughput
}

// check returns Compute's refusal of a disk of this type: an HTTP 400, which the driver calls an
// InvalidArgument. iops and throughput are 0 where the disk has none of its own.
func check(diskType string, gib, iops, throughput int64) error {
	limit, known := types[diskType]
	least, most := limit.iopsRange(gib)
	switch {
	case !known:
		return refused("Invalid value for field 'resource.type': '%s'. The referenced diskType resource cannot be found.", diskType)
	case gib < limit.leastSize || gib > limit.mostSize:
		return refused("Disk size: '%d' GB is not in [%d,%d] for %s.", gib, limit.leastSize, limit.mostSize, diskType)
	case iops > 0 && limit.mostIOPS == 0:
		return refused("Provisioned IOPS is not supported for disk type %s.", diskType)
	case throughput > 0 && limit.mostThroughput == 0:
		return refused("Provisioned throughput is not supported for disk type %s.", diskType)
	case iops > 0 && iops < least:
		return refused("Requested provisioned IOPS cannot be smaller than %d.", least)
	case iops > most:
		return refused("Requested provisioned IOPS cannot be larger than %d.", most)
	case throughput > 0 && (throughput < limit.leastThroughput || throughput > limit.mostThroughput):
		return refused("Requested provisioned throughput must be in [%d,%d].", limit.leastThroughput, limit.mostThroughput)
	}
	return nil
}

func refused(form string, values ...any) error {
	message := fmt.Sprintf(form, values...)
	return &googleapi.Error{Code: http.StatusBadRequest, Message: message, Errors: []googleapi.ErrorItem{{Reason: "invalid", Message: message}}}
}

func notFound(what string) error {
	message := fmt.Sprintf("The resource '%s' was not found", what)
	return &googleapi.Error{Code: http.StatusNotFound, Message: message, Errors: []googleapi.ErrorItem{{Reason: "notFound", Message: message}}}
}
