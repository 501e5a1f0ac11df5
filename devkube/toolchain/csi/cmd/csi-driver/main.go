// csi-driver is a CSI driver for rehearsals: the driver of a cloud on sparse files and loop devices.
//
//	csi-driver controller --flavour ebs --folder … --endpoint …
//	csi-driver node --flavour ebs --folder … --endpoint … --node-id … --zone … [--kubelet-root …]
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"

	"storage-tiers.invalid/toolchain/csi/internal/disks"
	"storage-tiers.invalid/toolchain/csi/internal/ebs"
	"storage-tiers.invalid/toolchain/csi/internal/flavour"
	"storage-tiers.invalid/toolchain/csi/internal/gce"
	"storage-tiers.invalid/toolchain/csi/internal/node"
	"storage-tiers.invalid/toolchain/csi/internal/serve"
)

var flavours = map[string]flavour.Flavour{"ebs": ebs.Flavour{}, "gce": gce.Flavour{}}

type settings struct {
	flavour, folder, endpoint, nodeID, zone, kubeletRoot string
	attachLimit                                          int
}

func main() {
	log.SetFlags(log.Ldate | log.Ltime | log.Lmicroseconds)
	if len(os.Args) < 2 {
		log.Fatal("which service: controller or node?")
	}
	var given settings
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	flags.StringVar(&given.flavour, "flavour", "", "ebs or gce")
	flags.StringVar(&given.folder, "folder", "", "the cloud's disks, snapshots, machines and state")
	flags.StringVar(&given.endpoint, "endpoint", "", "the socket to answer on")
	flags.StringVar(&given.nodeID, "node-id", "", "node: the Kubernetes node's name")
	flags.StringVar(&given.zone, "zone", "", "node: its zone")
	flags.StringVar(&given.kubeletRoot, "kubelet-root", "", "node: the kubelet to register with; none without it")
	flags.IntVar(&given.attachLimit, "attach-limit", 0, "node: disks that it takes; 0 is the flavour's own")
	flags.Parse(os.Args[2:])
	if err := run(os.Args[1], given); err != nil {
		log.Fatal(err)
	}
}

func run(service string, given settings) error {
	kind, ok := flavours[given.flavour]
	if !ok {
		return fmt.Errorf("no flavour %q: ebs or gce", given.flavour)
	}
	if given.folder == "" || given.endpoint == "" {
		return fmt.Errorf("--folder and --endpoint are needed")
	}
	switch service {
	case "controller":
		return controller(kind, given)
	case "node":
		return nodeService(kind, given)
	}
	return fmt.Errorf("no service %q: controller or node", service)
}

func controller(kind flavour.Flavour, given settings) error {
	store, err := disks.Open(given.folder)
	if err != nil {
		return err
	}
	service, err := kind.Controller(store)
	if err != nil {
		return err
	}
	return serve.Until(serve.Socket{Path: given.endpoint, Register: func(server *grpc.Server) {
		csi.RegisterIdentityServer(server, &serve.Identity{Name: kind.Name()})
		csi.RegisterControllerServer(server, service)
	}})
}

func nodeService(kind flavour.Flavour, given settings) error {
	if given.nodeID == "" || given.zone == "" {
		return fmt.Errorf("--node-id and --zone are needed")
	}
	service, err := node.New(kind, given.folder, given.nodeID, given.zone, given.attachLimit)
	if err != nil {
		return err
	}
	sockets := []serve.Socket{{Path: given.endpoint, Register: func(server *grpc.Server) {
		csi.RegisterIdentityServer(server, &serve.Identity{Name: kind.Name()})
		csi.RegisterNodeServer(server, service)
	}}}
	if given.kubeletRoot != "" {
		registered := &serve.Registration{Driver: kind.Name(), Endpoint: given.endpoint}
		place := filepath.Join(given.kubeletRoot, "plugins_registry", given.flavour+".sock")
		sockets = append(sockets, serve.Socket{Path: place, Register: registered.Register})
	}
	return serve.Until(sockets...)
}
