package gce

import (
	"strings"
	"testing"
)

func TestWhatComputeSaysToADisk(t *testing.T) {
	for _, each := range []struct {
		diskType              string
		gib, iops, throughput int64
		refused               string
	}{
		{"pd-balanced", 5, 0, 0, ""},
		{"pd-ssd", 5, 3000, 0, "IOPS is not supported for disk type pd-ssd"},
		{"hyperdisk-balanced", 5, 0, 0, ""},
		{"hyperdisk-balanced", 5, 3000, 0, "cannot be larger than 2500"},
		{"hyperdisk-balanced", 6, 2500, 140, "cannot be smaller than 3000"},
		{"hyperdisk-balanced", 10, 5000, 250, ""},
		{"hyperdisk-throughput", 100, 0, 0, "not in [2048,32768]"},
		{"hyperdisk-balanced", 10, 3000, 1, "must be in [140,2400]"},
		{"pd-extreme", 500, 130000, 0, "cannot be larger than 120000"},
		{"pd-gp3", 5, 0, 0, "cannot be found"},
	} {
		iops, throughput := defaults(each.diskType, each.gib, each.iops, each.throughput)
		err := check(each.diskType, each.gib, iops, throughput)
		if (err == nil) != (each.refused == "") || err != nil && !strings.Contains(err.Error(), each.refused) {
			t.Errorf("%+v: %v", each, err)
		}
	}
}
