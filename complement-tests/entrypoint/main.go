// Command entrypoint is the first process of the image. Complement names the server in SERVER_NAME; Vestibule reads
// VESTIBULE_SERVER__NAME. It then becomes the server, so that signals reach that.
package main

import (
	"fmt"
	"os"
	"syscall"
)

func main() {
	name := os.Getenv("SERVER_NAME")
	if name == "" {
		fmt.Fprintln(os.Stderr, "SERVER_NAME is not set: Complement sets it to the server's name")
		os.Exit(1)
	}
	environment := append(os.Environ(), "VESTIBULE_SERVER__NAME="+name)
	err := syscall.Exec("/vestibule", []string{"vestibule", "serve", "--config", "/vestibule.toml"}, environment)
	fmt.Fprintln(os.Stderr, "/vestibule:", err)
	os.Exit(1)
}
