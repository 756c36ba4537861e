// Probe is what the cluster's own tests run in pods: a server of bytes, and a client that says how long they took.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

const mostBytes = 64 << 20

var client = http.Client{Timeout: 60 * time.Second}

func main() {
	if len(os.Args) != 3 {
		fail(errors.New("write a command and its argument"))
	}
	commands := map[string]func(string) (any, error){
		"serve": serve, "fetch": fetch, "reach": reach, "resolve": resolve, "write": write, "burn": burn,
	}
	command, known := commands[os.Args[1]]
	if !known {
		fail(fmt.Errorf("no command is called %q", os.Args[1]))
	}
	answer, err := command(os.Args[2])
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "probe:", err)
	os.Exit(1)
}

// serve answers /bytes?count=N with N bytes, and /metrics with one metric.
func serve(address string) (any, error) {
	http.HandleFunc("/bytes", func(answer http.ResponseWriter, asked *http.Request) {
		count, err := strconv.ParseInt(asked.URL.Query().Get("count"), 10, 64)
		if err != nil || count < 0 || count > mostBytes {
			http.Error(answer, "count must be a number of bytes, at most 64 MiB", http.StatusBadRequest)
			return
		}
		answer.Header().Set("Content-Length", strconv.FormatInt(count, 10))
		io.CopyN(answer, zeros{}, count)
	})
	http.HandleFunc("/metrics", func(answer http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(answer, "probe_up 1")
	})
	fmt.Println("serving on", address)
	return nil, http.ListenAndServe(address, nil)
}

type transfer struct {
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
}

// fetch reads a URL to its end; the clock starts before the connection is made.
func fetch(url string) (any, error) {
	start := time.Now()
	answer, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	count, err := io.Copy(io.Discard, answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s", url, answer.Status)
	}
	return transfer{count, time.Since(start).Seconds()}, err
}

// reach connects, and gives up soon.
func reach(address string) (any, error) {
	connection, err := net.DialTimeout("tcp", address, 2*time.Second)
	if err != nil {
		return nil, err
	}
	return true, connection.Close()
}

func write(path string) (any, error) {
	return path, os.WriteFile(path, []byte("written"), 0o600)
}

func resolve(name string) (any, error) {
	return net.LookupHost(name)
}

type work struct {
	Rounds int64 `json:"rounds"`
}

// burn keeps one core busy and says how much it got done.
func burn(written string) (any, error) {
	duration, err := time.ParseDuration(written)
	if err != nil {
		return nil, err
	}
	var rounds int64
	for end := time.Now().Add(duration); time.Now().Before(end); rounds++ {
	}
	return work{rounds}, nil
}

type zeros struct{}

func (zeros) Read(into []byte) (int, error) {
	clear(into)
	return len(into), nil
}
