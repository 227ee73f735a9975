package complement_tests

import (
	"net/http"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/matrix-org/complement"
	"github.com/matrix-org/complement/client"
	"github.com/matrix-org/complement/helpers"
	"github.com/matrix-org/complement/match"
	"github.com/matrix-org/complement/must"
)

func upload(t *testing.T, user *client.CSAPI, bytes int) *http.Response {
	t.Helper()
	return user.Do(t, "POST", []string{"_matrix", "media", "v3", "upload"},
		client.WithRawBody(make([]byte, bytes)), client.WithContentType("application/octet-stream"))
}

func sizeMax(t *testing.T, user *client.CSAPI) int64 {
	t.Helper()
	config := user.MustDo(t, "GET", []string{"_matrix", "client", "v1", "media", "config"})
	return gjson.GetBytes(client.ParseJSON(t, config), "m\\.upload\\.size").Int()
}

// One file has a size that it cannot exceed, which clients are told before.
func TestFilesHaveASize(t *testing.T) {
	deployment := complement.Deploy(t, 1)
	defer deployment.Destroy(t)
	alice := deployment.Register(t, "hs1", helpers.RegistrationOpts{})
	if got := sizeMax(t, alice); got != fileBytesMax {
		t.Errorf("told %d bytes", got)
	}
	must.MatchResponse(t, upload(t, alice, fileBytesMax), match.HTTPResponse{StatusCode: http.StatusOK})
	mustBeError(t, upload(t, alice, fileBytesMax+1), http.StatusRequestEntityTooLarge, "M_TOO_LARGE")
}

// A user uploads so many bytes in 24 hours, is told when it goes on, and takes nothing from anybody else.
func TestUploadsAreCounted(t *testing.T) {
	deployment := complement.Deploy(t, 1)
	defer deployment.Destroy(t)
	alice := deployment.Register(t, "hs1", helpers.RegistrationOpts{})
	bob := deployment.Register(t, "hs1", helpers.RegistrationOpts{})
	for left := bytesPerDay; left > 0; left -= fileBytesMax {
		must.MatchResponse(t, upload(t, alice, min(left, fileBytesMax)), match.HTTPResponse{StatusCode: http.StatusOK})
	}
	refused := mustBeError(t, upload(t, alice, 1), http.StatusForbidden, "M_USER_LIMIT_EXCEEDED")
	must.MatchGJSON(t, gjson.ParseBytes(refused),
		match.JSONKeyTypeEqual("info_uri", gjson.String),
		match.JSONKeyEqual("can_upgrade", false),
	)
	resets := time.UnixMilli(gjson.GetBytes(refused, "org\\.vestibule\\.resets_at").Int())
	if wait := time.Until(resets); wait <= 0 || wait > 24*time.Hour {
		t.Errorf("it goes on in %v", wait)
	}
	must.MatchResponse(t, upload(t, bob, fileBytesMax), match.HTTPResponse{StatusCode: http.StatusOK})
}
