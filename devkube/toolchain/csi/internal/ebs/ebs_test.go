package ebs

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"storage-tiers.invalid/toolchain/csi/internal/disks"
)

func TestWhatEC2SaysToAVolume(t *testing.T) {
	for _, each := range []struct {
		asked   Volume
		decided Volume
		refused string
	}{
		{Volume{Type: "gp3", SizeGiB: 5}, Volume{"gp3", 5, 3000, 125}, ""},
		{Volume{"gp3", 5, 1500, 0}, Volume{"gp3", 5, 3000, 125}, ""},
		{Volume{"gp3", 5, 4000, 0}, Volume{}, "ratio of 800.000000 is too high; maximum is 500"},
		{Volume{"gp3", 10, 5000, 1250}, Volume{"gp3", 10, 5000, 1250}, ""},
		{Volume{"gp3", 10, 3000, 751}, Volume{}, "maximum is 0.250000 MiBps per iops"},
		{Volume{"gp3", 65537, 0, 0}, Volume{}, "too large"},
		{Volume{"io2", 4, 0, 0}, Volume{}, "must be specified for io2"},
		{Volume{"io1", 5, 50, 0}, Volume{}, "iops of 50 is too low; minimum is 100"},
		{Volume{"io1", 3, 100, 0}, Volume{}, "too small for volume type io1; minimum is 4GiB"},
		{Volume{"st1", 124, 0, 0}, Volume{}, "minimum is 125GiB"},
		{Volume{"gp2", 7, 0, 0}, Volume{"gp2", 7, 0, 0}, ""},
		{Volume{"gp2", 7, 3000, 0}, Volume{}, "not supported for gp2"},
		{Volume{"GP3", 7, 0, 0}, Volume{}, "parameter volumeType is invalid"},
	} {
		decided, err := Decide(each.asked)
		if each.refused != "" {
			if err == nil || !strings.Contains(err.Error(), each.refused) {
				t.Errorf("%+v: %v", each.asked, err)
			}
		} else if err != nil || decided != each.decided {
			t.Errorf("%+v: %+v, %v", each.asked, decided, err)
		}
	}
}

func TestWhatTheDriverReads(t *testing.T) {
	for _, each := range []struct {
		parameters map[string]string
		fileSystem string
		refused    string
	}{
		{map[string]string{"TYPE": "gp3", "iops": "3000", "Throughput": "125", "tagSpecification_1": "team=a=b"}, "ext4", ""},
		{map[string]string{"iops": "3k"}, "ext4", "Could not parse invalid iops"},
		{map[string]string{"iops": "3000", "iopsPerGB": "10"}, "ext4", "not both"},
		{map[string]string{"speed": "1"}, "ext4", "Invalid parameter key speed for CreateVolume"},
		{map[string]string{"bytesPerInode": "8192"}, "xfs", "Cannot use bytesperinode with fstype xfs"},
		{map[string]string{"ext4BigAlloc": "false"}, "xfs", ""},
		{map[string]string{"ext4ClusterSize": "16384"}, "ext4", "ext4BigAlloc is false"},
		{map[string]string{"blockSize": "4k!"}, "ext4", "Could not parse blockSize"},
		{map[string]string{"tagSpecification_1": "kubernetes.io/x=1"}, "ext4", "prefix 'kubernetes.io' is reserved"},
	} {
		_, err := Read(each.parameters, each.fileSystem)
		if (err == nil) != (each.refused == "") || err != nil && !strings.Contains(err.Error(), each.refused) {
			t.Errorf("%v: %v", each.parameters, err)
		}
	}
	for value, is := range map[string]bool{"true": true, "True": false, "yes": false, "1": false, "": false} {
		if read, err := Read(map[string]string{"encrypted": value}, "ext4"); err != nil || read.Encrypted != is {
			t.Errorf("encrypted %q: %v, %v", value, read.Encrypted, err)
		}
	}
}

func TestIOPSAreCappedSilently(t *testing.T) {
	for _, each := range []struct {
		parameters map[string]string
		gib, iops  int64
	}{
		{map[string]string{"iops": "99999"}, 1000, 80000},
		{map[string]string{"iops": "9000"}, 10, 5000},
		{map[string]string{"iops": "4000"}, 5, 4000}, // sent as it is: 5 GiB allow less than the least
		{map[string]string{"type": "io1", "iopsPerGB": "10", "allowAutoIOPSPerGBIncrease": "true"}, 5, 100},
		{map[string]string{"type": "gp2", "iops": "9000"}, 10, 0},
	} {
		read, err := Read(each.parameters, "ext4")
		if asked := read.asked(each.gib); err != nil || asked.IOPS != each.iops {
			t.Errorf("%v at %d GiB: %+v, %v", each.parameters, each.gib, asked, err)
		}
	}
}

func TestModify(t *testing.T) {
	volume := Volume{"gp3", 10, 3000, 125}
	for _, each := range []struct {
		parameters map[string]string
		changed    Volume
		refused    string
	}{
		{map[string]string{"iops": "4000", "throughput": "250"}, Volume{"gp3", 10, 4000, 250}, ""},
		{map[string]string{"iops": "90000"}, Volume{}, "too high"},
		{map[string]string{"IOPS": "4000"}, Volume{}, "Invalid mutable parameter key: IOPS"},
		{map[string]string{"type": "io2"}, Volume{}, "must be specified"},
		{map[string]string{"type": "io2", "iops": "1000"}, Volume{"io2", 10, 1000, 0}, ""},
	} {
		changed, err := Modify(volume, each.parameters)
		if (err == nil) != (each.refused == "") || err != nil && !strings.Contains(err.Error(), each.refused) {
			t.Errorf("%v: %v", each.parameters, err)
		} else if err == nil && changed != each.changed {
			t.Errorf("%v: %+v", each.parameters, changed)
		}
	}
}

func TestFormatOptions(t *testing.T) {
	for _, each := range []struct {
		fileSystem string
		context    map[string]string
		options    []string
	}{
		{"ext4", map[string]string{"blocksize": "4096", "inodesize": "512", "ext4bigalloc": "true", "ext4clustersize": "16384"},
			[]string{"-b", "4096", "-I", "512", "-O", "bigalloc", "-C", "16384"}},
		{"xfs", map[string]string{"blocksize": "4096", "inodesize": "512"}, []string{"-b", "size=4096", "-i", "size=512"}},
		{"ext3", map[string]string{"storage.kubernetes.io/csiProvisionerIdentity": "x"}, []string{}},
	} {
		if options := FormatOptions(each.fileSystem, each.context); !slices.Equal(options, each.options) {
			t.Errorf("%s: %v", each.fileSystem, options)
		}
	}
}

func controller(t *testing.T) *Controller {
	t.Helper()
	store, err := disks.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &Controller{store: store}
}

func request(name string, bytes int64, parameters map[string]string) *csi.CreateVolumeRequest {
	return &csi.CreateVolumeRequest{
		Name: name, Parameters: parameters, CapacityRange: &csi.CapacityRange{RequiredBytes: bytes},
		VolumeCapabilities: []*csi.VolumeCapability{{
			AccessMode: &csi.VolumeCapability_AccessMode{Mode: csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER},
			AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{FsType: "ext4"}},
		}},
		AccessibilityRequirements: &csi.TopologyRequirement{Preferred: []*csi.Topology{{Segments: map[string]string{wellKnownZone: "us-east-1b"}}}},
	}
}

func TestAVolumesLife(t *testing.T) {
	service, ctx := controller(t), context.Background()
	asked := request("pvc-1", 7*disks.GiB/2, map[string]string{"type": "gp3"}) // 3.5 GiB
	made, err := service.CreateVolume(ctx, asked)
	if err != nil {
		t.Fatal(err)
	}
	volume := made.GetVolume()
	zone := volume.GetAccessibleTopology()[0].GetSegments()[wellKnownZone]
	if !regexp.MustCompile(`^vol-[0-9a-f]{17}$`).MatchString(volume.GetVolumeId()) || volume.GetCapacityBytes() != 4*disks.GiB || zone != "us-east-1b" {
		t.Fatalf("%v", volume)
	}
	if again, err := service.CreateVolume(ctx, asked); err != nil || again.GetVolume().GetVolumeId() != volume.GetVolumeId() {
		t.Fatalf("%v %v", again, err)
	}
	if _, err := service.CreateVolume(ctx, request("pvc-1", 9*disks.GiB, nil)); status.Code(err) != codes.AlreadyExists {
		t.Fatal(err)
	}
	grow := &csi.ControllerExpandVolumeRequest{VolumeId: volume.GetVolumeId(), CapacityRange: &csi.CapacityRange{RequiredBytes: 11 * disks.GiB / 2}}
	if grown, err := service.ControllerExpandVolume(ctx, grow); err != nil || grown.GetCapacityBytes() != 6*disks.GiB || !grown.GetNodeExpansionRequired() {
		t.Fatalf("%v %v", grown, err)
	}
	modify := &csi.ControllerModifyVolumeRequest{VolumeId: volume.GetVolumeId(), MutableParameters: map[string]string{"iops": "99000"}}
	if _, err := service.ControllerModifyVolume(ctx, modify); status.Code(err) != codes.InvalidArgument {
		t.Fatal(err)
	}
	snapshot, err := service.CreateSnapshot(ctx, &csi.CreateSnapshotRequest{Name: "s", SourceVolumeId: volume.GetVolumeId()})
	if err != nil || snapshot.GetSnapshot().GetSizeBytes() != 6*disks.GiB {
		t.Fatalf("%v %v", snapshot, err)
	}
	restore := request("pvc-2", 5*disks.GiB, nil)
	restore.VolumeContentSource = &csi.VolumeContentSource{Type: &csi.VolumeContentSource_Snapshot{
		Snapshot: &csi.VolumeContentSource_SnapshotSource{SnapshotId: snapshot.GetSnapshot().GetSnapshotId()},
	}}
	if _, err := service.CreateVolume(ctx, restore); status.Code(err) != codes.OutOfRange {
		t.Fatal(err)
	}
	restore.CapacityRange.RequiredBytes = 6 * disks.GiB
	if _, err := service.CreateVolume(ctx, restore); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := service.DeleteVolume(ctx, &csi.DeleteVolumeRequest{VolumeId: volume.GetVolumeId()}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatEC2RefusesIsTriedAgainUnlessItSaysCombination(t *testing.T) {
	for text, code := range map[string]codes.Code{"io2": codes.InvalidArgument, "gp9": codes.Aborted, "st1": codes.Aborted} {
		_, err := controller(t).CreateVolume(context.Background(), request("pvc-1", 5*disks.GiB, map[string]string{"type": text}))
		if status.Code(err) != code {
			t.Errorf("%s: %v", text, err)
		}
	}
}
