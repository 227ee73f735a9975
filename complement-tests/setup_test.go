// Package complement_tests holds conformance tests of our own, on Complement's frame: what its suite asks of no server, because only
// Vestibule promises it.
package complement_tests

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/matrix-org/complement"
	"github.com/matrix-org/complement/client"
	"github.com/matrix-org/complement/match"
	"github.com/matrix-org/complement/must"
)

// What the servers of these tests are set to: a short L, small files.
const (
	lifetime      = 10 * time.Second
	fileBytesMax  = 200_000
	bytesPerDay   = 500_000
	lifetimeValue = "10s"
)

func TestMain(m *testing.M) {
	// Complement hands variables with this prefix to the containers.
	settings := map[string]string{
		"COMPLEMENT_SHARE_ENV_PREFIX":          "PASS_",
		"PASS_VESTIBULE_RETENTION__LIFETIME":   lifetimeValue,
		"PASS_VESTIBULE_RETENTION__SLOT":       "1s",
		"PASS_VESTIBULE_MEDIA__SIZE_MAX":       "200KB",
		"PASS_VESTIBULE_MEDIA__UPLOAD_PER_DAY": "500KB",
	}
	for name, value := range settings {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	complement.TestMain(m, "vestibule")
}

// mustBeError checks that a request was refused with a Matrix error.
func mustBeError(t *testing.T, response *http.Response, status int, errcode string) []byte {
	t.Helper()
	return must.MatchResponse(t, response, match.HTTPResponse{
		StatusCode: status,
		JSON:       []match.JSON{match.JSONKeyEqual("errcode", errcode), match.JSONKeyPresent("error")},
	})
}

// mustGoAtTheEnd asks until it is answered 404 and checks that this happens at the end of L: not before, and a moment after at most.
// received is a moment before the content was handed in.
func mustGoAtTheEnd(t *testing.T, user *client.CSAPI, received time.Time, path []string) {
	t.Helper()
	user.MustDo(t, "GET", path)
	last := time.Now()
	response := user.Do(t, "GET", path, client.WithRetryUntil(lifetime+2*time.Second, func(response *http.Response) bool {
		if response.StatusCode == http.StatusOK {
			last = time.Now()
		}
		return response.StatusCode == http.StatusNotFound
	}))
	gone := time.Now()
	mustBeError(t, response, http.StatusNotFound, "M_NOT_FOUND")
	if gone.Before(received.Add(lifetime)) {
		t.Errorf("gone after %v, before its time", gone.Sub(received))
	}
	if last.After(received.Add(lifetime + time.Second)) {
		t.Errorf("still there after %v", last.Sub(received))
	}
}

// vestibule runs a command of the homeserver in its container and reads its answer.
func vestibule(t *testing.T, deployment complement.Deployment, arguments ...string) map[string]any {
	t.Helper()
	command := []string{"exec", "-e", "VESTIBULE_SERVER__NAME=hs1", deployment.ContainerID(t, "hs1"), "/vestibule", "--config", "/vestibule.toml", "--json"}
	answer, err := exec.Command("docker", append(command, arguments...)...).Output()
	must.NotError(t, "the command failed", err)
	var parsed map[string]any
	must.NotError(t, "its answer is not JSON", json.Unmarshal(answer, &parsed))
	return parsed
}
