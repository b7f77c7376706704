// Command kubernetes_cel answers what Kubernetes' own evaluator of device selectors makes of expressions.
//
// Each line of its input is an expression as a JSON string; each line of its output is [expression, verdict]: the
// type and the value, "refused" where it does not compile, "error" where it has no value. With the argument "functions" it prints every
// overload that the evaluator offers instead. record.py builds and runs it.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strconv"

	"github.com/blang/semver/v4"
	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	apiservercel "k8s.io/apiserver/pkg/cel"
	dracel "k8s.io/dynamic-resource-allocation/cel"
)

// domains gives an empty map for a domain that the device does not have, as kube-scheduler's map does.
type domains struct {
	traits.Mapper
	empty ref.Val
}

func (d domains) Find(key ref.Val) (ref.Val, bool) {
	if found, ok := d.Mapper.Find(key); ok {
		return found, true
	}
	return d.empty, true
}

func main() {
	features := dracel.Features{EnableConsumableCapacity: true, EnableListTypeAttributes: true}
	env := dracel.GetCompiler(features).CompileCELExpression("true", dracel.Options{}).Environment
	if len(os.Args) > 1 && os.Args[1] == "functions" {
		printFunctions(env)
		return
	}
	output := json.NewEncoder(os.Stdout)
	output.SetEscapeHTML(false)
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, 1<<20)
	for input.Scan() {
		var expression string
		if err := json.Unmarshal(input.Bytes(), &expression); err != nil {
			panic(err)
		}
		if err := output.Encode([]any{expression, verdict(env, expression)}); err != nil {
			panic(err)
		}
	}
}

func printFunctions(env *cel.Env) {
	var lines []string
	for name, function := range env.Functions() {
		for _, overload := range function.OverloadDecls() {
			arguments := []string{}
			for _, argument := range overload.ArgTypes() {
				arguments = append(arguments, argument.String())
			}
			line, err := json.Marshal([]any{name, overload.IsMemberFunction(), arguments, overload.ResultType().String()})
			if err != nil {
				panic(err)
			}
			lines = append(lines, string(line))
		}
	}
	sort.Strings(lines)
	for _, line := range lines {
		fmt.Println(line)
	}
}

// device is the one that the tests have too.
func device(env *cel.Env) map[string]any {
	adapter := env.CELTypeAdapter()
	withDefault := func(published map[string]any) domains {
		return domains{types.NewStringInterfaceMap(adapter, published), adapter.NativeToValue(map[string]any{})}
	}
	memory, cores := resource.MustParse("81559Mi"), resource.MustParse("100")
	return map[string]any{
		"driver":                   "gpu.hami.io",
		"allowMultipleAllocations": true,
		"attributes": withDefault(map[string]any{
			"gpu.hami.io": map[string]any{
				"s": "abc", "i": int64(3), "t": true, "model": "NVIDIA H100 80GB HBM3", "minor": int64(0),
				"driverVersion": apiservercel.Semver{Version: semver.MustParse("580.65.6")},
			},
			"example.com": map[string]any{"rack": "r1"},
		}),
		"capacity": withDefault(map[string]any{
			"gpu.hami.io": map[string]apiservercel.Quantity{"memory": {Quantity: &memory}, "cores": {Quantity: &cores}},
		}),
	}
}

func verdict(env *cel.Env, expression string) (answer any) {
	defer func() {
		if recover() != nil {
			answer = "error"
		}
	}()
	ast, issues := env.Compile(expression)
	if issues != nil && issues.Err() != nil {
		return "refused"
	}
	program, err := env.Program(ast, cel.CostLimit(resourceapi.CELSelectorExpressionMaxCost))
	if err != nil {
		return "refused"
	}
	value, _, err := program.Eval(map[string]any{"device": device(env)})
	if err != nil {
		return "error"
	}
	return show(value)
}

func show(value ref.Val) any {
	switch value := value.(type) {
	case types.Int, types.Uint:
		return []any{value.Type().TypeName(), fmt.Sprint(value.Value())}
	case types.Double:
		return []any{"double", strconv.FormatFloat(float64(value), 'g', -1, 64)}
	case types.Bytes:
		return []any{"bytes", fmt.Sprintf("%x", []byte(value))}
	case types.Duration:
		return []any{"duration", strconv.FormatInt(value.Nanoseconds(), 10)}
	case types.Timestamp:
		return []any{"timestamp", fmt.Sprintf("%d.%09d", value.Unix(), value.Nanosecond())}
	case types.Null:
		return []any{"null_type", nil}
	case types.String, types.Bool:
		return []any{value.Type().TypeName(), value.Value()}
	case *types.Type:
		return []any{"type", value.TypeName()}
	case *types.Optional:
		if !value.HasValue() {
			return []any{"optional_type"}
		}
		return []any{"optional_type", show(value.GetValue())}
	case traits.Mapper:
		entries := [][]any{}
		for keys := value.Iterator(); keys.HasNext() == types.True; {
			key := keys.Next()
			entries = append(entries, []any{show(key), show(value.Get(key))})
		}
		sort.Slice(entries, func(i, j int) bool { return fmt.Sprint(entries[i]) < fmt.Sprint(entries[j]) })
		return []any{"map", entries}
	case traits.Lister:
		items := []any{}
		for each := value.Iterator(); each.HasNext() == types.True; {
			items = append(items, show(each.Next()))
		}
		return []any{"list", items}
	}
	return showOpaque(value)
}

func showOpaque(value ref.Val) any {
	switch value := value.(type) {
	case apiservercel.Quantity:
		return showQuantity(value.Quantity)
	case *apiservercel.Quantity:
		return showQuantity(value.Quantity)
	case apiservercel.Semver:
		return []any{"semver", value.String()}
	case apiservercel.IP:
		return []any{"ip", value.String()}
	case apiservercel.CIDR:
		return []any{"cidr", value.String()}
	}
	return []any{value.Type().TypeName()}
}

func showQuantity(quantity *resource.Quantity) any {
	copied := quantity.DeepCopy()
	return []any{"quantity", copied.AsDec().String()}
}
