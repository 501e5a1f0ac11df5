package main

import (
	_ "github.com/container-storage-interface/spec/lib/go/csi"
	_ "golang.org/x/sys/unix"
	_ "google.golang.org/grpc"
	_ "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
	_ "k8s.io/mount-utils"
	_ "sigs.k8s.io/gcp-compute-persistent-disk-csi-driver/pkg/gce-cloud-provider/compute"
	_ "sigs.k8s.io/gcp-compute-persistent-disk-csi-driver/pkg/gce-pd-csi-driver"
	_ "sigs.k8s.io/gcp-compute-persistent-disk-csi-driver/pkg/parameters"
)

func main() {}
