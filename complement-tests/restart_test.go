package complement_tests

import (
	"testing"

	"github.com/matrix-org/complement"
	"github.com/matrix-org/complement/b"
	"github.com/matrix-org/complement/client"
	"github.com/matrix-org/complement/helpers"
)

// What was answered 200 is there after the container was stopped and started, and the login still holds.
func TestRestartKeepsEvents(t *testing.T) {
	deployment := complement.Deploy(t, 1)
	defer deployment.Destroy(t)
	alice := deployment.Register(t, "hs1", helpers.RegistrationOpts{})
	roomID := alice.MustCreateRoom(t, map[string]interface{}{"preset": "private_chat"})
	eventID := alice.Unsafe_SendEventUnsynced(t, roomID, b.Event{
		Type:    "m.room.message",
		Content: map[string]interface{}{"msgtype": "m.text", "body": "before the restart"},
	})

	deployment.StopServer(t, "hs1")
	deployment.StartServer(t, "hs1")
	alice.BaseURL = deployment.UnauthenticatedClient(t, "hs1").BaseURL

	alice.MustSyncUntil(t, client.SyncReq{}, client.SyncTimelineHasEventID(roomID, eventID))
}
