// Command kube holds the Kubernetes programs that a test cluster runs. The name
// it is called under, or its first argument, picks the program: one link
// instead of seven keeps the build, the cache and the node image small.
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
	kubeproxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubeadm "k8s.io/kubernetes/cmd/kubeadm/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

func newCommand(program string) *cobra.Command {
	switch program {
	case "kube-apiserver":
		return apiserver.NewAPIServerCommand()
	case "kube-controller-manager":
		return controllermanager.NewControllerManagerCommand()
	case "kube-proxy":
		return kubeproxy.NewProxyCommand()
	case "kube-scheduler":
		return scheduler.NewSchedulerCommand()
	case "kubelet":
		return kubelet.NewKubeletCommand(context.Background())
	case "kubectl":
		return kubectl.NewDefaultKubectlCommand()
	}
	return nil
}

// run calls the program of that name, if it is one of ours.
func run(program string) (status int, known bool) {
	if program == "kubeadm" { // It reads its flags itself.
		if kubeadm.Run() != nil {
			return 1, true
		}
		return 0, true
	}
	command := newCommand(program)
	if command == nil {
		return 2, false
	}
	return cli.Run(command), true
}

func main() {
	status, known := run(filepath.Base(os.Args[0]))
	if !known && len(os.Args) > 1 {
		os.Args = os.Args[1:]
		status, known = run(os.Args[0])
	}
	if !known {
		fmt.Fprintln(os.Stderr, "kube: the first argument, or the name of the program, is one of kube-apiserver, kube-controller-manager, kube-proxy, kube-scheduler, kubeadm, kubelet, kubectl")
	}
	os.Exit(status)
}
