// volumes gives every PersistentVolumeClaim a folder on the node that the scheduler chose for it.
//
// The folder belongs to root, as a new disk does: a pod that runs as somebody else needs fsGroup, here as elsewhere.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"os"
	"path/filepath"
	"time"

	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	storagelisters "k8s.io/client-go/listers/storage/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	provisioner  = "consilia.dev/test-volumes"
	provisioned  = "pv.kubernetes.io/provisioned-by"
	selectedNode = "volume.kubernetes.io/selected-node"
	hostname     = "kubernetes.io/hostname"
)

type provider struct {
	client  kubernetes.Interface
	claims  listers.PersistentVolumeClaimLister
	volumes listers.PersistentVolumeLister
	classes storagelisters.StorageClassLister
	folder  string
}

func (p *provider) path(node, volume string) string {
	return filepath.Join(p.folder, node, "volumes", volume)
}

// wants says whether a claim waits for a volume of ours: its node is known, and it has none.
func (p *provider) wants(claim *core.PersistentVolumeClaim) bool {
	if claim.Spec.StorageClassName == nil || claim.Spec.VolumeName != "" || claim.DeletionTimestamp != nil {
		return false
	}
	class, err := p.classes.Get(*claim.Spec.StorageClassName)
	return err == nil && class.Provisioner == provisioner && claim.Annotations[selectedNode] != ""
}

func (p *provider) provide(ctx context.Context, claim *core.PersistentVolumeClaim) error {
	node, name := claim.Annotations[selectedNode], "pvc-"+string(claim.UID)
	if _, err := p.volumes.Get(name); err == nil {
		return nil
	}
	path := p.path(node, name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	_, err := p.client.CoreV1().PersistentVolumes().Create(ctx, volume(claim, node, name, path), meta.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func volume(claim *core.PersistentVolumeClaim, node, name, path string) *core.PersistentVolume {
	there := core.NodeSelectorRequirement{Key: hostname, Operator: core.NodeSelectorOpIn, Values: []string{node}}
	terms := []core.NodeSelectorTerm{{MatchExpressions: []core.NodeSelectorRequirement{there}}}
	return &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: name, Annotations: map[string]string{provisioned: provisioner}},
		Spec: core.PersistentVolumeSpec{
			Capacity:                      claim.Spec.Resources.Requests,
			AccessModes:                   claim.Spec.AccessModes,
			StorageClassName:              *claim.Spec.StorageClassName,
			PersistentVolumeReclaimPolicy: core.PersistentVolumeReclaimDelete,
			PersistentVolumeSource:        core.PersistentVolumeSource{Local: &core.LocalVolumeSource{Path: path}},
			NodeAffinity:                  &core.VolumeNodeAffinity{Required: &core.NodeSelector{NodeSelectorTerms: terms}},
			ClaimRef: &core.ObjectReference{
				Kind: "PersistentVolumeClaim", APIVersion: "v1",
				Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
		},
	}
}

// withdraw deletes a volume of ours whose claim is gone, and what was stored on it.
func (p *provider) withdraw(ctx context.Context, volume *core.PersistentVolume) error {
	if volume.Annotations[provisioned] != provisioner || volume.Status.Phase != core.VolumeReleased {
		return nil
	}
	if volume.Spec.PersistentVolumeReclaimPolicy != core.PersistentVolumeReclaimDelete {
		return nil
	}
	if err := os.RemoveAll(volume.Spec.Local.Path); err != nil {
		return err
	}
	err := p.client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, meta.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func (p *provider) reconcile(ctx context.Context) error {
	claims, err := p.claims.List(labels.Everything())
	if err != nil {
		return err
	}
	volumes, err := p.volumes.List(labels.Everything())
	if err != nil {
		return err
	}
	var failed []error
	for _, claim := range claims {
		if p.wants(claim) {
			failed = append(failed, p.provide(ctx, claim))
		}
	}
	for _, volume := range volumes {
		failed = append(failed, p.withdraw(ctx, volume))
	}
	return errors.Join(failed...)
}

func run(kubeconfig, folder string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx := context.Background()
	factory := informers.NewSharedInformerFactory(client, 0)
	changed := make(chan struct{}, 1)
	for _, informer := range []cache.SharedIndexInformer{
		factory.Core().V1().PersistentVolumeClaims().Informer(),
		factory.Core().V1().PersistentVolumes().Informer(),
		factory.Storage().V1().StorageClasses().Informer(),
	} {
		if _, err := informer.AddEventHandler(notify(changed)); err != nil {
			return err
		}
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	served := &provider{
		client:  client,
		claims:  factory.Core().V1().PersistentVolumeClaims().Lister(),
		volumes: factory.Core().V1().PersistentVolumes().Lister(),
		classes: factory.Storage().V1().StorageClasses().Lister(),
		folder:  folder,
	}
	for {
		if err := served.reconcile(ctx); err != nil {
			log.Print(err)
			time.AfterFunc(time.Second, func() { signal(changed) })
		}
		<-changed
	}
}

func notify(changed chan<- struct{}) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { signal(changed) },
		UpdateFunc: func(any, any) { signal(changed) },
		DeleteFunc: func(any) { signal(changed) },
	}
}

// signal says that something changed; one that is not read yet says it already.
func signal(changed chan<- struct{}) {
	select {
	case changed <- struct{}{}:
	default:
	}
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "how to reach the API server")
	folder := flag.String("folder", "", "where every node has a folder")
	flag.Parse()
	log.Fatal(run(*kubeconfig, *folder))
}
