// Asks Argo CD's engine for Lua, kstatus, and Flux's for CEL what they make of an object.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

type question struct {
	Object      json.RawMessage                  `json:"object"`
	Script      string                           `json:"script"`
	Expressions kustomize.HealthCheckExpressions `json:"expressions"`
}

type answer struct {
	Argo    string `json:"argo"`
	Message string `json:"message"`
	Kstatus string `json:"kstatus"`
	Flux    string `json:"flux"`
}

func main() {
	answers, err := ask()
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(answers)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func ask() ([]answer, error) {
	var asked []question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		return nil, err
	}
	answers := make([]answer, len(asked))
	for i, one := range asked {
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(one.Object); err != nil {
			return nil, err
		}
		health, message, err := argo(object.Object, one.Script)
		if err != nil {
			return nil, err
		}
		computed, err := status.Compute(object)
		if err != nil {
			return nil, err
		}
		answers[i] = answer{health, message, computed.Status.String(), flux(object, one.Expressions)}
	}
	return answers, nil
}

// As Argo CD runs a health check: within a second, with the base and table libraries alone.
func argo(object map[string]any, script string) (string, string, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable} {
		state.Push(state.NewFunction(open))
		state.Push(lua.LString(name))
		state.Call(1, 0)
	}
	limit, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	state.SetContext(limit)
	state.SetGlobal("obj", value(state, object))
	if err := state.DoString(script); err != nil {
		return "", "", err
	}
	found, isTable := state.Get(-1).(*lua.LTable)
	if !isTable {
		return "", "", fmt.Errorf("the script returns no table")
	}
	message := ""
	if said := found.RawGetString("message"); said != lua.LNil {
		message = said.String()
	}
	return found.RawGetString("status").String(), message, nil
}

func value(state *lua.LState, from any) lua.LValue {
	switch given := from.(type) {
	case bool:
		return lua.LBool(given)
	case int64:
		return lua.LNumber(given)
	case float64:
		return lua.LNumber(given)
	case string:
		return lua.LString(given)
	case []any:
		table := state.NewTable()
		for _, item := range given {
			table.Append(value(state, item))
		}
		return table
	case map[string]any:
		table := state.NewTable()
		for key, item := range given {
			table.RawSetString(key, value(state, item))
		}
		return table
	}
	return lua.LNil
}

// What Flux waits for; "Unknown" where an expression cannot be evaluated, as Flux has it.
func flux(object *unstructured.Unstructured, expressions kustomize.HealthCheckExpressions) string {
	evaluator, err := cel.NewStatusEvaluator(&expressions)
	if err != nil {
		return err.Error()
	}
	found, err := evaluator.Evaluate(context.Background(), object)
	if err != nil {
		return status.UnknownStatus.String()
	}
	return found.Status.String()
}
