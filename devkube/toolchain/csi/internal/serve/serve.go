// Package serve answers on a unix socket until the process is told to end.
package serve

import (
	"context"
	"errors"
	"io/fs"
	"log"
	"net"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Socket is one socket and the services behind it.
type Socket struct {
	Path     string
	Register func(*grpc.Server)
}

// Until serves all sockets until SIGTERM or SIGINT, and lets what runs then come to its end.
func Until(sockets ...Socket) error {
	ended, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	failed := make(chan error, len(sockets))
	servers := []*grpc.Server{}
	for _, each := range sockets {
		listener, err := listen(each.Path)
		if err != nil {
			return err
		}
		server := grpc.NewServer(grpc.UnaryInterceptor(logged))
		each.Register(server)
		servers = append(servers, server)
		go func() { failed <- server.Serve(listener) }()
	}
	var err error
	select {
	case <-ended.Done():
	case err = <-failed:
	}
	for _, server := range servers {
		late := time.AfterFunc(10*time.Second, server.Stop)
		server.GracefulStop()
		late.Stop()
	}
	return err
}

// listen makes the socket, in place of one that a killed run has left. It has its own name only when
// it answers, so nobody finds one that doesn't.
func listen(place string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(place), 0o700); err != nil {
		return nil, err
	}
	if err := os.Remove(place); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return net.Listen("unix", place)
}

// logged writes a line for each call that changes something or fails.
func logged(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	began := time.Now()
	answer, err := handler(ctx, request)
	name := path.Base(info.FullMethod)
	asks := strings.Contains(name, "Get") || name == "Probe" || strings.HasPrefix(name, "List")
	if err != nil {
		log.Printf("%s: %v (asked: %v)", name, err, request)
	} else if !asks {
		log.Printf("%s %.2fs: %v", name, time.Since(began).Seconds(), request)
	}
	return answer, err
}

// Identity is the identity service.
type Identity struct {
	csi.UnimplementedIdentityServer
	Name string
}

// GetPluginInfo says the driver's name.
func (i *Identity) GetPluginInfo(context.Context, *csi.GetPluginInfoRequest) (*csi.GetPluginInfoResponse, error) {
	return &csi.GetPluginInfoResponse{Name: i.Name, VendorVersion: "rehearsal"}, nil
}

// GetPluginCapabilities says that it has a controller, zones, and grows volumes in use.
func (*Identity) GetPluginCapabilities(context.Context, *csi.GetPluginCapabilitiesRequest) (*csi.GetPluginCapabilitiesResponse, error) {
	answer := &csi.GetPluginCapabilitiesResponse{Capabilities: []*csi.PluginCapability{{
		Type: &csi.PluginCapability_VolumeExpansion_{VolumeExpansion: &csi.PluginCapability_VolumeExpansion{
			Type: csi.PluginCapability_VolumeExpansion_ONLINE,
		}},
	}}}
	for _, kind := range []csi.PluginCapability_Service_Type{
		csi.PluginCapability_Service_CONTROLLER_SERVICE, csi.PluginCapability_Service_VOLUME_ACCESSIBILITY_CONSTRAINTS,
	} {
		answer.Capabilities = append(answer.Capabilities, &csi.PluginCapability{
			Type: &csi.PluginCapability_Service_{Service: &csi.PluginCapability_Service{Type: kind}},
		})
	}
	return answer, nil
}

// Probe says that it is ready.
func (*Identity) Probe(context.Context, *csi.ProbeRequest) (*csi.ProbeResponse, error) {
	return &csi.ProbeResponse{Ready: wrapperspb.Bool(true)}, nil
}
