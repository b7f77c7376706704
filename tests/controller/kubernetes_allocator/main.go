// Command kubernetes_allocator answers what kube-scheduler's own allocator of devices makes of problems.
//
// Each line of its input is a problem as JSON; each line of its output maps the problem's nodes to answers: the status
// (ok, none, or failed where the error is for all nodes) and the allocations, one for each claim. record.py runs it.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/structured"
	"k8s.io/utils/ptr"
)

type problem struct {
	Nodes     []string                       `json:"nodes"`
	Slices    []*resourceapi.ResourceSlice   `json:"slices"`
	Classes   []*resourceapi.DeviceClass     `json:"classes"`
	Rules     []*resourceapi.DeviceTaintRule `json:"rules"`
	Allocated []*resourceapi.ResourceClaim   `json:"allocated"`
	Claims    []*resourceapi.ResourceClaim   `json:"claims"`
}

type answer struct {
	Status  string                         `json:"status"`
	Message string                         `json:"message,omitempty"`
	Result  []resourceapi.AllocationResult `json:"result,omitempty"`
}

// What kube-scheduler 1.37 has by default.
var features = structured.Features{
	AdminAccess:             true,
	PrioritizedList:         true,
	PartitionableDevices:    true,
	DeviceTaints:            true,
	DeviceBindingAndStatus:  true,
	ConsumableCapacity:      true,
	FractionalCapacityRange: true,
}

type lister map[string]*resourceapi.DeviceClass

func (l lister) List() ([]*resourceapi.DeviceClass, error) { return nil, nil }

func (l lister) Get(name string) (*resourceapi.DeviceClass, error) {
	if class, ok := l[name]; ok {
		return class, nil
	}
	return nil, fmt.Errorf("class %s not found", name)
}

// addTaints is what kube-scheduler's tracker of slices does with rules.
func addTaints(slices []*resourceapi.ResourceSlice, rules []*resourceapi.DeviceTaintRule) {
	for _, rule := range rules {
		selector := rule.Spec.DeviceSelector
		if selector == nil {
			continue
		}
		for _, slice := range slices {
			if ptr.Deref(selector.Driver, slice.Spec.Driver) != slice.Spec.Driver ||
				ptr.Deref(selector.Pool, slice.Spec.Pool.Name) != slice.Spec.Pool.Name {
				continue
			}
			for i := range slice.Spec.Devices {
				device := &slice.Spec.Devices[i]
				if ptr.Deref(selector.Device, device.Name) == device.Name {
					device.Taints = append(device.Taints, rule.Spec.Taint)
				}
			}
		}
	}
}

// gather is what kube-scheduler's cache of claims sums up.
func gather(claims []*resourceapi.ResourceClaim) structured.AllocatedState {
	state := structured.AllocatedState{
		AllocatedDevices:         sets.New[structured.DeviceID](),
		AllocatedSharedDeviceIDs: sets.New[structured.SharedDeviceID](),
		AggregatedCapacity:       structured.NewConsumedCapacityCollection(),
	}
	for _, claim := range claims {
		for _, result := range claim.Status.Allocation.Devices.Results {
			id := structured.MakeDeviceID(result.Driver, result.Pool, result.Device)
			switch {
			case ptr.Deref(result.AdminAccess, false):
			case result.ShareID == nil:
				state.AllocatedDevices.Insert(id)
			default:
				state.AllocatedSharedDeviceIDs.Insert(structured.MakeSharedDeviceID(id, result.ShareID))
				if result.ConsumedCapacity != nil {
					state.AggregatedCapacity.Insert(structured.NewDeviceConsumedCapacity(id, result.ConsumedCapacity))
				}
			}
		}
	}
	return state
}

func solve(p problem, cache *cel.Cache) (map[string]answer, error) {
	addTaints(p.Slices, p.Rules)
	classes := lister{}
	for _, class := range p.Classes {
		classes[class.Name] = class
	}
	ctx := context.Background()
	allocator, err := structured.NewAllocator(ctx, features, gather(p.Allocated), classes, p.Slices, cache)
	if err != nil {
		return nil, err
	}
	answers := map[string]answer{}
	for _, name := range p.Nodes {
		node := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		result, err := allocator.Allocate(ctx, node, p.Claims)
		switch {
		case err != nil && !errors.Is(err, structured.ErrFailedAllocationOnNode):
			answers[name] = answer{Status: "failed", Message: err.Error()}
		case err != nil || len(result) != len(p.Claims):
			answers[name] = answer{Status: "none"}
		default:
			answers[name] = answer{Status: "ok", Result: result}
		}
	}
	return answers, nil
}

func main() {
	cache := cel.NewCache(100, cel.Features{EnableConsumableCapacity: true})
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, 1<<24)
	output := json.NewEncoder(os.Stdout)
	for input.Scan() {
		var p problem
		if err := json.Unmarshal(input.Bytes(), &p); err != nil {
			panic(err)
		}
		answers, err := solve(p, cache)
		if err != nil {
			panic(err)
		}
		if err := output.Encode(answers); err != nil {
			panic(err)
		}
	}
}
