package complement_tests

import (
	"testing"

	"github.com/matrix-org/complement"
	"github.com/matrix-org/complement/b"
	"github.com/matrix-org/complement/client"
	"github.com/matrix-org/complement/helpers"
	"github.com/matrix-org/complement/match"
	"github.com/matrix-org/complement/must"
)

// What was answered 200 is there after the container was stopped and started, and the login still holds. Asked of state: a restart
// may take longer than messages live here.
func TestRestartKeepsState(t *testing.T) {
	deployment := complement.Deploy(t, 1)
	defer deployment.Destroy(t)
	alice := deployment.Register(t, "hs1", helpers.RegistrationOpts{})
	roomID := alice.MustCreateRoom(t, map[string]interface{}{"preset": "private_chat"})
	content := map[string]interface{}{"said": "before the restart"}
	alice.Unsafe_SendEventUnsynced(t, roomID, b.Event{Type: "org.example.state", StateKey: b.Ptr(""), Content: content})

	deployment.StopServer(t, "hs1")
	deployment.StartServer(t, "hs1")
	alice.BaseURL = deployment.UnauthenticatedClient(t, "hs1").BaseURL

	state := alice.MustDo(t, "GET", []string{"_matrix", "client", "v3", "rooms", roomID, "state", "org.example.state", ""})
	must.MatchResponse(t, state, match.HTTPResponse{JSON: []match.JSON{match.JSONKeyEqual("", content)}})
	alice.MustSyncUntil(t, client.SyncReq{}, client.SyncJoinedTo(alice.UserID, roomID))
}
