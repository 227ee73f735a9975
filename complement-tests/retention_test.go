package complement_tests

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/matrix-org/complement"
	"github.com/matrix-org/complement/b"
	"github.com/matrix-org/complement/client"
	"github.com/matrix-org/complement/helpers"
	"github.com/matrix-org/complement/match"
	"github.com/matrix-org/complement/must"
)

const words = "nobody reads this tomorrow"

// An event is gone L after it was received, to the second, by every way to read it, and the room goes on.
func TestEventIsGoneAtTheEndOfItsLife(t *testing.T) {
	t.Parallel()
	deployment := complement.Deploy(t, 1)
	defer deployment.Destroy(t)
	alice := deployment.Register(t, "hs1", helpers.RegistrationOpts{})
	roomID := alice.MustCreateRoom(t, map[string]interface{}{"preset": "private_chat"})
	received := time.Now()
	eventID := alice.SendEventSynced(t, roomID, b.Event{
		Type:    "m.room.message",
		Content: map[string]interface{}{"msgtype": "m.text", "body": words},
	})
	_, before := alice.MustSync(t, client.SyncReq{})

	room := func(rest ...string) []string {
		return append([]string{"_matrix", "client", "v3", "rooms", roomID}, rest...)
	}
	mustGoAtTheEnd(t, alice, received, room("event", eventID))
	mustBeError(t, alice.Do(t, "GET", room("context", eventID)), http.StatusNotFound, "M_NOT_FOUND")
	page := alice.MustDo(t, "GET", room("messages"), client.WithQueries(url.Values{"dir": {"b"}}))
	must.MatchResponse(t, page, match.HTTPResponse{JSON: []match.JSON{match.JSONKeyArrayOfSize("chunk", 0)}})
	for _, since := range []string{"", before} {
		answer, _ := alice.MustSync(t, client.SyncReq{Since: since})
		if strings.Contains(answer.Raw, words) {
			t.Errorf("a sync since %q still has it", since)
		}
	}
	// The state of the room has no end, and neither has the conversation.
	must.MatchResponse(t, alice.MustDo(t, "GET", room("state", "m.room.create", "")), match.HTTPResponse{
		JSON: []match.JSON{match.JSONKeyPresent("room_version")},
	})
	alice.SendEventSynced(t, roomID, b.Event{
		Type:    "m.room.message",
		Content: map[string]interface{}{"msgtype": "m.text", "body": "and this is new"},
	})
}

// What relates to an event, and what counts it, goes with it.
func TestReactionAndUnreadCountGoWithTheirEvent(t *testing.T) {
	t.Parallel()
	deployment := complement.Deploy(t, 1)
	defer deployment.Destroy(t)
	alice := deployment.Register(t, "hs1", helpers.RegistrationOpts{})
	bob := deployment.Register(t, "hs1", helpers.RegistrationOpts{})
	roomID := alice.MustCreateRoom(t, map[string]interface{}{"preset": "private_chat", "invite": []string{bob.UserID}})
	bob.MustJoinRoom(t, roomID, nil)
	received := time.Now()
	eventID := alice.SendEventSynced(t, roomID, b.Event{
		Type:    "m.room.message",
		Content: map[string]interface{}{"msgtype": "m.text", "body": words},
	})
	reactionID := alice.SendEventSynced(t, roomID, b.Event{
		Type: "m.reaction",
		Content: map[string]interface{}{
			"m.relates_to": map[string]interface{}{"rel_type": "m.annotation", "event_id": eventID, "key": "👍"},
		},
	})
	unread := "rooms.join." + client.GjsonEscape(roomID) + ".unread_notifications.notification_count"
	answer, _ := bob.MustSync(t, client.SyncReq{})
	if answer.Get(unread).Int() == 0 {
		t.Fatalf("bob is told of nothing unread: %s", answer.Raw)
	}
	mustGoAtTheEnd(t, alice, received, []string{"_matrix", "client", "v3", "rooms", roomID, "event", eventID})
	mustBeError(t, alice.Do(t, "GET", []string{"_matrix", "client", "v3", "rooms", roomID, "event", reactionID}), http.StatusNotFound, "M_NOT_FOUND")
	mustBeError(t, alice.Do(t, "GET", []string{"_matrix", "client", "v1", "rooms", roomID, "relations", eventID}), http.StatusNotFound, "M_NOT_FOUND")
	answer, _ = bob.MustSync(t, client.SyncReq{})
	if count := answer.Get(unread); count.Type == gjson.Number && count.Int() != 0 {
		t.Errorf("%d unread, and nothing to read", count.Int())
	}
}

// A file is gone L after it was uploaded, with its thumbnails.
func TestFileIsGoneAtTheEndOfItsLife(t *testing.T) {
	t.Parallel()
	deployment := complement.Deploy(t, 1)
	defer deployment.Destroy(t)
	alice := deployment.Register(t, "hs1", helpers.RegistrationOpts{})
	received := time.Now()
	origin, mediaID := client.SplitMxc(alice.UploadContent(t, []byte(words), "letter.txt", "text/plain"))
	content, _ := alice.DownloadContentAuthenticated(t, "mxc://"+origin+"/"+mediaID)
	if string(content) != words {
		t.Fatalf("another file came back: %q", content)
	}
	mustGoAtTheEnd(t, alice, received, []string{"_matrix", "client", "v1", "media", "download", origin, mediaID})
	for _, path := range [][]string{
		{"_matrix", "client", "v1", "media", "thumbnail", origin, mediaID},
		{"_matrix", "media", "v3", "download", origin, mediaID},
	} {
		query := client.WithQueries(url.Values{"width": {"64"}, "height": {"64"}})
		mustBeError(t, alice.Do(t, "GET", path, query), http.StatusNotFound, "M_NOT_FOUND")
	}
}

// The longest life of a room's events is told, and no room can lengthen it.
func TestRetentionIsTold(t *testing.T) {
	t.Parallel()
	deployment := complement.Deploy(t, 1)
	defer deployment.Destroy(t)
	alice := deployment.Register(t, "hs1", helpers.RegistrationOpts{})
	told := alice.MustDo(t, "GET", []string{"_matrix", "client", "unstable", "org.matrix.msc1763", "retention", "configuration"})
	must.MatchResponse(t, told, match.HTTPResponse{JSON: []match.JSON{
		match.JSONKeyEqual("limits.max_lifetime.max", float64(lifetime.Milliseconds())),
	}})
	roomID := alice.MustCreateRoom(t, map[string]interface{}{
		"initial_state": []map[string]interface{}{
			{"type": "m.room.retention", "state_key": "", "content": map[string]interface{}{"max_lifetime": 10 * lifetime.Milliseconds()}},
		},
	})
	received := time.Now()
	eventID := alice.SendEventSynced(t, roomID, b.Event{
		Type:    "m.room.message",
		Content: map[string]interface{}{"msgtype": "m.text", "body": words},
	})
	mustGoAtTheEnd(t, alice, received, []string{"_matrix", "client", "v3", "rooms", roomID, "event", eventID})
}
