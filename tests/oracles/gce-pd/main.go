// What the GCE PD CSI driver makes of the parameters of StorageClasses.
//
// It reads one class's parameters a line, as JSON, and answers each with a line: the disk and the
// cache that the driver would ask for, or its error. A dynamic class has what each of its two
// types becomes.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"

	"k8s.io/klog/v2"
	"sigs.k8s.io/gcp-compute-persistent-disk-csi-driver/pkg/parameters"
)

type answer struct {
	Error   string
	Disk    *parameters.DiskParameters
	Cache   *parameters.DataCacheParameters
	Becomes []parameters.DiskParameters
}

var processor = parameters.ParameterProcessor{
	DriverName:           "pd.csi.storage.gke.io",
	EnableStoragePools:   true,
	EnableMultiZone:      true,
	EnableHdHA:           true,
	EnableDiskTopology:   true,
	EnableDataCache:      true,
	EnableDynamicVolumes: true,
}

func main() {
	klog.SetOutput(io.Discard)
	klog.LogToStderr(false)
	lines, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var class map[string]string
		if err := json.Unmarshal(lines.Bytes(), &class); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if err := out.Encode(asked(class)); err != nil {
			os.Exit(1)
		}
	}
}

func asked(class map[string]string) answer {
	disk, cache, err := processor.ExtractAndDefaultParameters(class)
	if err != nil {
		return answer{Error: err.Error()}
	}
	found := answer{Disk: &disk, Cache: &cache}
	if disk.IsDiskDynamic() {
		for key, usual := range map[string]string{parameters.ParameterHDType: "hyperdisk-balanced", parameters.ParameterPDType: "pd-balanced"} {
			become := disk
			become.Labels = maps.Clone(disk.Labels)
			// As the driver's SelectDisk has it, whose package is the whole controller.
			if become.DiskType = strings.ToLower(class[key]); become.DiskType == "" {
				become.DiskType = usual
			}
			parameters.SanitizeDiskParameters(&become)
			found.Becomes = append(found.Becomes, become)
		}
	}
	return found
}
