package serve

import (
	"context"
	"log"

	"google.golang.org/grpc"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

// Registration answers the kubelet, which asks every socket in its plugins_registry what it is.
type Registration struct {
	registration.UnimplementedRegistrationServer
	Driver, Endpoint string
}

// GetInfo names the driver and its socket.
func (r *Registration) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return &registration.PluginInfo{
		Type: registration.CSIPlugin, Name: r.Driver, Endpoint: r.Endpoint, SupportedVersions: []string{"1.0.0"},
	}, nil
}

// NotifyRegistrationStatus is the kubelet's answer. It asks again after a fault.
func (r *Registration) NotifyRegistrationStatus(_ context.Context, said *registration.RegistrationStatus) (*registration.RegistrationStatusResponse, error) {
	log.Printf("the kubelet registered %s: %v %s", r.Driver, said.GetPluginRegistered(), said.GetError())
	return &registration.RegistrationStatusResponse{}, nil
}

// Register adds the service to a server.
func (r *Registration) Register(server *grpc.Server) {
	registration.RegisterRegistrationServer(server, r)
}
