// Volumes provides the test cluster's default StorageClass: each claim gets a folder of its own, for pods of the node
// that the scheduler chose, and the folder goes when the claim does.
package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "the kubeconfig to use")
	name := flag.String("name", "", "the provisioner's name in the StorageClass")
	folder := flag.String("folder", "", "where the volumes' folders are")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *kubeconfig, *name, folders(*folder)); err != nil {
		klog.ErrorS(err, "volumes ended")
		os.Exit(1)
	}
}

func run(ctx context.Context, kubeconfig, name string, volumes folders) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	controller.NewProvisionController(ctx, client, name, volumes, controller.LeaderElection(false)).Run(ctx)
	return nil
}

// folders is where the volumes are, one folder each.
type folders string

func (f folders) Provision(_ context.Context, asked controller.ProvisionOptions) (*core.PersistentVolume, controller.ProvisioningState, error) {
	if asked.SelectedNodeName == "" {
		return nil, controller.ProvisioningFinished, errors.New("the StorageClass must have volumeBindingMode: WaitForFirstConsumer")
	}
	path := filepath.Join(string(f), asked.PVName)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	// Any user of a pod may write, as on a disk of its own; MkdirAll obeys the umask and Chmod does not.
	if err := os.Chmod(path, 0o777); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	return volume(asked, path), controller.ProvisioningFinished, nil
}

func (f folders) Delete(_ context.Context, gone *core.PersistentVolume) error {
	return os.RemoveAll(filepath.Join(string(f), gone.Name))
}

func volume(asked controller.ProvisionOptions, path string) *core.PersistentVolume {
	onNode := core.NodeSelectorRequirement{
		Key: core.LabelHostname, Operator: core.NodeSelectorOpIn, Values: []string{asked.SelectedNodeName},
	}
	terms := []core.NodeSelectorTerm{{MatchExpressions: []core.NodeSelectorRequirement{onNode}}}
	return &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: asked.PVName},
		Spec: core.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *asked.StorageClass.ReclaimPolicy,
			AccessModes:                   asked.PVC.Spec.AccessModes,
			VolumeMode:                    asked.PVC.Spec.VolumeMode,
			Capacity:                      core.ResourceList{core.ResourceStorage: asked.PVC.Spec.Resources.Requests[core.ResourceStorage]},
			PersistentVolumeSource:        core.PersistentVolumeSource{Local: &core.LocalVolumeSource{Path: path}},
			NodeAffinity:                  &core.VolumeNodeAffinity{Required: &core.NodeSelector{NodeSelectorTerms: terms}},
		},
	}
}
