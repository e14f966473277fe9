// probe is what tests run in pods: one static program for what a shell would do.
//
//	probe lookup NAME | connect HOST:PORT | get URL | serve ADDRESS | env NAME | write FILE TEXT | read FILE | exit CODE | wait
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const patience = 10 * time.Second

func lookup(name string) (string, error) {
	limited, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	found, err := net.DefaultResolver.LookupHost(limited, name)
	return strings.Join(found, " "), err
}

func connect(address string) (string, error) {
	connection, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return "", err
	}
	return "connected", connection.Close()
}

func get(url string) (string, error) {
	client := http.Client{Timeout: patience}
	answer, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return string(body), err
}

func serve(address string) (string, error) {
	answer := func(to http.ResponseWriter, _ *http.Request) {
		host, _ := os.Hostname()
		fmt.Fprint(to, host)
	}
	server := http.Server{Addr: address, Handler: http.HandlerFunc(answer)}
	go func() { log.Print(server.ListenAndServe()); os.Exit(1) }()
	return wait()
}

func wait() (string, error) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	<-signals
	return "ended", nil
}

func run(command string, arguments []string) (string, error) {
	switch command + "/" + strconv.Itoa(len(arguments)) {
	case "lookup/1":
		return lookup(arguments[0])
	case "connect/1":
		return connect(arguments[0])
	case "get/1":
		return get(arguments[0])
	case "serve/1":
		return serve(arguments[0])
	case "env/1":
		return os.Getenv(arguments[0]), nil
	case "write/2":
		return "written", os.WriteFile(arguments[0], []byte(arguments[1]), 0o644)
	case "read/1":
		read, err := os.ReadFile(arguments[0])
		return string(read), err
	case "exit/1":
		code, err := strconv.Atoi(arguments[0])
		if err == nil {
			os.Exit(code)
		}
		return "", err
	case "wait/0":
		return wait()
	}
	return "", fmt.Errorf("there is no command %q with %d arguments", command, len(arguments))
}

func main() {
	if len(os.Args) < 2 {
		log.Fatal("say what to do: see the top of probe's source")
	}
	said, err := run(os.Args[1], os.Args[2:])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(said)
}
