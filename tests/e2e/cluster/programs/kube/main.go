// Command kube holds the Kubernetes programs that a test cluster runs. The name
// it is called under, or its first argument, picks the program: one link
// instead of five keeps the build and the cache small.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

func newCommand(program string) *cobra.Command {
	switch program {
	case "kube-apiserver":
		return apiserver.NewAPIServerCommand()
	case "kube-controller-manager":
		return controllermanager.NewControllerManagerCommand()
	case "kube-scheduler":
		return scheduler.NewSchedulerCommand()
	case "kubelet":
		return kubelet.NewKubeletCommand(context.Background())
	case "kubectl":
		return kubectl.NewDefaultKubectlCommand()
	}
	return nil
}

func main() {
	command := newCommand(filepath.Base(os.Args[0]))
	if command == nil && len(os.Args) > 1 {
		os.Args = os.Args[1:]
		command = newCommand(os.Args[0])
	}
	if command == nil {
		fmt.Fprintln(os.Stderr, "kube: the first argument, or the name of the program, is one of kube-apiserver, kube-controller-manager, kube-scheduler, kubelet, kubectl")
		os.Exit(2)
	}
	os.Exit(cli.Run(command))
}
