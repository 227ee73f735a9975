// Command entrypoint is the first process of the image. Complement names the server in SERVER_NAME; Vestibule reads
// VESTIBULE_SERVER__NAME. Beside Vestibule it does what is a proxy's work on the open network: it ends TLS on the port where other
// servers ask, with a certificate of Complement's own authority.
package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// Where other servers ask, and where Vestibule listens.
const (
	federationAddress = ":8448"
	vestibuleAddress  = "127.0.0.1:8008"
)

func main() {
	name := os.Getenv("SERVER_NAME")
	if name == "" {
		fail(errors.New("SERVER_NAME is not set: Complement sets it to the server's name"))
	}
	if err := os.Setenv("VESTIBULE_SERVER__NAME", name); err != nil {
		fail(err)
	}
	if authority, err := readAuthority("/complement/ca"); err == nil {
		go func() { fail(serveOthers(name, authority)) }()
	} else if !os.IsNotExist(err) {
		fail(err)
	}
	os.Exit(run())
}

// run runs Vestibule until it ends, and passes on the signals that Docker sends. It answers the exit status.
func run() int {
	server := exec.Command("/vestibule", "serve", "--config", "/vestibule.toml")
	server.Stdout, server.Stderr = os.Stdout, os.Stderr
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	if err := server.Start(); err != nil {
		fail(err)
	}
	go func() {
		for s := range signals {
			_ = server.Process.Signal(s)
		}
	}()
	_ = server.Wait()
	return server.ProcessState.ExitCode()
}

func serveOthers(name string, authority *authority) error {
	certificate, err := authority.certify(name)
	if err != nil {
		return err
	}
	vestibule := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: vestibuleAddress})
	others := http.Server{Addr: federationAddress, Handler: vestibule, TLSConfig: certificate}
	return others.ListenAndServeTLS("", "")
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "entrypoint:", err)
	os.Exit(1)
}
