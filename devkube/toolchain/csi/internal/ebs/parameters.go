package ebs

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Parameters are a class's, read as the driver reads them (pkg/driver/controller.go and
// docs/parameters.md of aws-ebs-csi-driver 1.64).
type Parameters struct {
	Type                        string
	IOPS, IOPSPerGB, Throughput int64
	RaiseIOPS                   bool
	Encrypted                   bool
	KMSKey                      string
	Tags                        map[string]string
	Format                      map[string]string // key in small letters -> value
}

// Where an option of mkfs is of no use, by the file system. The names are the driver's.
var unfit = map[string][]string{
	"ext4": {},
	"ext3": {"ext4bigalloc", "ext4clustersize", "ext4encryptionsupport"},
	"xfs":  {"bytesperinode", "numberofinodes", "ext4bigalloc", "ext4clustersize", "ext4encryptionsupport"},
	"ntfs": {"blocksize", "inodesize", "bytesperinode", "numberofinodes", "ext4bigalloc", "ext4clustersize", "ext4encryptionsupport"},
}

var alphanumeric = regexp.MustCompile(`^[a-zA-Z0-9]+$`)

// Read reads a class's parameters for a file system. The error is the text that the driver refuses
// them with.
func Read(parameters map[string]string, fileSystem string) (Parameters, error) {
	read := Parameters{Tags: map[string]string{}, Format: map[string]string{}}
	for key, value := range parameters {
		if err := read.take(key, value); err != nil {
			return read, err
		}
	}
	if read.IOPS > 0 && read.IOPSPerGB > 0 {
		return read, fmt.Errorf("invalid StorageClass parameters; specify either IOPS or IOPSPerGb, not both")
	}
	for _, key := range unfit[fileSystem] {
		if _, given := read.Format[key]; given {
			return read, fmt.Errorf("Cannot use %s with fstype %s", key, fileSystem)
		}
	}
	if _, sized := read.Format["ext4clustersize"]; sized && !isTrue(read.Format["ext4bigalloc"]) {
		return read, fmt.Errorf("Cannot set ext4BigAllocClusterSize when ext4BigAlloc is false")
	}
	return read, nil
}

func (p *Parameters) take(key, value string) (err error) {
	small := strings.ToLower(key)
	switch small {
	case "type":
		p.Type = value
	case "iops":
		p.IOPS, err = number("iops", value)
	case "iopspergb":
		p.IOPSPerGB, err = number("iopsPerGB", value)
	case "throughput":
		p.Throughput, err = number("throughput", value)
	case "volumeinitializationrate":
		_, err = number("volumeInitializationRate", value)
	case "allowautoiopspergbincrease":
		p.RaiseIOPS = isTrue(value)
	case "encrypted":
		p.Encrypted = p.Encrypted || isTrue(value)
	case "kmskeyid":
		p.KMSKey, p.Encrypted = value, p.Encrypted || value != ""
	case "blocksize", "inodesize", "bytesperinode", "numberofinodes", "ext4clustersize":
		if !alphanumeric.MatchString(value) {
			return fmt.Errorf("Could not parse %s (%s): invalid format", key, value)
		}
		p.Format[small] = value
	case "ext4bigalloc", "ext4encryptionsupport":
		if isTrue(value) {
			p.Format[small] = value
		}
	case "fstype", "blockexpress", "blockattachuntilinitialized", "outpostarn", "allowautoiopsincreaseonmodify":
	case "csi.storage.k8s.io/pvc/name", "csi.storage.k8s.io/pvc/namespace", "csi.storage.k8s.io/pv/name":
	default:
		if !isTagKey(key) {
			return fmt.Errorf("Invalid parameter key %s for CreateVolume", key)
		}
		return p.tag(value)
	}
	return err
}

// tag reads `key=value` with the driver's own reserved keys (docs/tagging.md).
func (p *Parameters) tag(text string) error {
	key, value, _ := strings.Cut(text, "=")
	for _, reserved := range []string{"CSIVolumeName", "CSIVolumeSnapshotName", Name + "/cluster-name"} {
		if key == reserved {
			return fmt.Errorf("Invalid tag value: tag key '%s' is reserved", key)
		}
	}
	for _, prefix := range []string{"kubernetes.io", Name + "/", "aws:"} {
		if strings.HasPrefix(key, prefix) {
			return fmt.Errorf("Invalid tag value: tag key prefix '%s' is reserved", strings.TrimSuffix(prefix, "/"))
		}
	}
	p.Tags[key] = value
	return nil
}

func number(name, value string) (int64, error) {
	parsed, err := strconv.ParseInt(value, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("Could not parse invalid %s: %w", name, err)
	}
	return parsed, nil
}

// FormatOptions are mkfs's for a file system, from a volume's context. The driver's own are
// `-m 0 -F` for ext, which k8s.io/mount-utils gives anyway.
func FormatOptions(fileSystem string, context map[string]string) []string {
	flags := map[string]string{"blocksize": "-b", "inodesize": "-I", "bytesperinode": "-i", "numberofinodes": "-N", "ext4clustersize": "-C"}
	if fileSystem == "xfs" {
		flags = map[string]string{"blocksize": "-b", "inodesize": "-i"}
	}
	options := []string{}
	for _, key := range []string{"blocksize", "inodesize", "bytesperinode", "numberofinodes"} {
		value, given := context[key]
		if !given || flags[key] == "" {
			continue
		}
		if fileSystem == "xfs" {
			value = "size=" + value
		}
		options = append(options, flags[key], value)
	}
	if isTrue(context["ext4bigalloc"]) {
		options = append(options, "-O", "bigalloc")
	}
	if size := context["ext4clustersize"]; size != "" {
		options = append(options, flags["ext4clustersize"], size)
	}
	if isTrue(context["ext4encryptionsupport"]) {
		options = append(options, "-O", "encrypt")
	}
	return options
}

// asked is the volume that a class and a size ask EC2 for.
func (p Parameters) asked(gib int64) Volume {
	volume := Volume{Type: p.Type, SizeGiB: gib}
	if volume.Type == "" {
		volume.Type = "gp3"
	}
	wanted := p.IOPS
	if p.IOPSPerGB > 0 {
		wanted = p.IOPSPerGB * gib
	}
	if wanted > 0 {
		volume.IOPS = capped(wanted, volume, p.RaiseIOPS)
	}
	if volume.Type == "gp3" {
		volume.Throughput = p.Throughput
	}
	return volume
}

// Modify reads the parameters of a VolumeAttributesClass and returns the volume that they ask for
// (pkg/driver/controller_modify_volume.go: its keys are case-sensitive).
func Modify(volume Volume, parameters map[string]string) (Volume, error) {
	changed := volume
	var perGB int64
	for key, value := range parameters {
		var err error
		switch {
		case key == "type", key == "volumeType":
			changed.Type = value
		case key == "iops":
			changed.IOPS, err = number("IOPS", value)
		case key == "throughput":
			changed.Throughput, err = number("throughput", value)
		case key == "iopspergb":
			perGB, err = number("IOPSPerGB", value)
		case key == "allowautoiopsincreaseonmodify":
		case isTagKey(key), strings.HasPrefix(key, "tagDeletion_"):
		default:
			err = fmt.Errorf("Invalid mutable parameter key: %s", key)
		}
		if err != nil {
			return volume, err
		}
	}
	if perGB > 0 {
		changed.IOPS = capped(perGB*changed.SizeGiB, changed, false)
	}
	if changed.Type != volume.Type { // what the other type had is no wish for this one
		if _, given := parameters["iops"]; !given && perGB == 0 {
			changed.IOPS = 0
		}
		if _, given := parameters["throughput"]; !given {
			changed.Throughput = 0
		}
	}
	return Decide(changed)
}

func isTagKey(key string) bool { return strings.HasPrefix(key, "tagSpecification_") }
