// gpu is a device plugin that tells the kubelet of graphics cards that are not there, so that pods can ask for them.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

const socket = "consilia-fake-gpu.sock"

type plugin struct {
	api.UnimplementedDevicePluginServer
	devices []*api.Device
}

func newPlugin(count int) *plugin {
	made := &plugin{}
	for number := range count {
		made.devices = append(made.devices, &api.Device{ID: fmt.Sprintf("GPU-fake-%d", number), Health: api.Healthy})
	}
	return made
}

func (p *plugin) GetDevicePluginOptions(context.Context, *api.Empty) (*api.DevicePluginOptions, error) {
	return &api.DevicePluginOptions{}, nil
}

func (p *plugin) ListAndWatch(_ *api.Empty, stream grpc.ServerStreamingServer[api.ListAndWatchResponse]) error {
	if err := stream.Send(&api.ListAndWatchResponse{Devices: p.devices}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

// Allocate tells the container its cards as NVIDIA's own plugin does.
func (p *plugin) Allocate(_ context.Context, request *api.AllocateRequest) (*api.AllocateResponse, error) {
	answer := &api.AllocateResponse{}
	for _, container := range request.ContainerRequests {
		visible := map[string]string{"NVIDIA_VISIBLE_DEVICES": strings.Join(container.DevicesIds, ",")}
		answer.ContainerResponses = append(answer.ContainerResponses, &api.ContainerAllocateResponse{Envs: visible})
	}
	return answer, nil
}

func register(folder, resource string) error {
	kubelet := "unix://" + filepath.Join(folder, "kubelet.sock")
	connection, err := grpc.NewClient(kubelet, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	request := &api.RegisterRequest{Version: api.Version, Endpoint: socket, ResourceName: resource}
	_, err = api.NewRegistrationClient(connection).Register(context.Background(), request)
	return err
}

// serve until the kubelet starts anew: it then empties the folder, our socket with it.
func (p *plugin) serve(folder, resource string) error {
	own := filepath.Join(folder, socket)
	if err := os.Remove(own); err != nil && !os.IsNotExist(err) {
		return err
	}
	listener, err := net.Listen("unix", own)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	api.RegisterDevicePluginServer(server, p)
	go server.Serve(listener)
	defer server.Stop()
	if err := register(folder, resource); err != nil {
		return err
	}
	log.Printf("registered %d of %s", len(p.devices), resource)
	for {
		time.Sleep(500 * time.Millisecond)
		if _, err := os.Stat(own); err != nil {
			return err
		}
	}
}

func main() {
	resource := flag.String("resource", "nvidia.com/gpu", "the resource that pods ask for")
	count := flag.Int("count", 4, "how many there are")
	folder := flag.String("folder", "/var/lib/kubelet/device-plugins", "where the kubelet listens")
	flag.Parse()
	offered := newPlugin(*count)
	for {
		log.Print(offered.serve(*folder, *resource))
		time.Sleep(500 * time.Millisecond)
	}
}
