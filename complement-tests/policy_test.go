package complement_tests

import (
	"net/http"
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

// How long a session of these tests is: long enough to say something in it.
const session = 5 * time.Second

// platform is the back end that provisions organizations, hosts and participants.
type platform struct {
	deployment complement.Deployment
	caller     *client.CSAPI
}

func newPlatform(t *testing.T, deployment complement.Deployment) *platform {
	t.Helper()
	caller := deployment.UnauthenticatedClient(t, "hs1")
	caller.AccessToken = vestibule(t, deployment, "keys", "create")["key"].(string)
	p := &platform{deployment, caller}
	p.put(t, map[string]any{"name": "Acme Health"}, "organizations", "acme")
	p.put(t, map[string]any{"name": "North Clinic"}, "organizations", "acme", "accounts", "north")
	return p
}

func (p *platform) call(t *testing.T, method string, body map[string]any, path ...string) gjson.Result {
	t.Helper()
	answer := p.caller.MustDo(t, method, append([]string{"_vestibule", "v1"}, path...), client.WithJSONBody(t, body))
	return gjson.ParseBytes(client.ParseJSON(t, answer))
}

func (p *platform) put(t *testing.T, body map[string]any, path ...string) gjson.Result {
	t.Helper()
	return p.call(t, "PUT", body, path...)
}

func (p *platform) host(t *testing.T, id string) string {
	t.Helper()
	body := map[string]any{"organization": "acme", "account": "north", "display_name": "Dr. " + id}
	return p.put(t, body, "hosts", id).Get("user_id").Str
}

// session makes a session of the host with one invitee and answers the participant's user id, and the session's end.
func (p *platform) session(t *testing.T, id, host, invitee string) (string, time.Time) {
	t.Helper()
	endsAt := time.Now().Add(session)
	made := p.put(t, map[string]any{
		"host":     host,
		"invitees": []map[string]any{{"id": invitee, "display_name": invitee}},
		"ends_at":  endsAt.UnixMilli(),
	}, "sessions", id)
	return made.Get("invitees.0.user_id").Str, endsAt
}

// logIn logs a provisioned user in as their page does.
func (p *platform) logIn(t *testing.T, userID string) *client.CSAPI {
	t.Helper()
	token := p.call(t, "POST", map[string]any{"user_id": userID}, "login_tokens").Get("login_token").Str
	user := p.deployment.UnauthenticatedClient(t, "hs1")
	login := user.MustDo(t, "POST", []string{"_matrix", "client", "v3", "login"}, client.WithJSONBody(t, map[string]any{
		"type": "m.login.token", "token": token,
	}))
	answer := gjson.ParseBytes(client.ParseJSON(t, login))
	user.UserID, user.AccessToken, user.DeviceID = userID, answer.Get("access_token").Str, answer.Get("device_id").Str
	return user
}

func createRoomWith(t *testing.T, user *client.CSAPI, others ...string) *http.Response {
	t.Helper()
	return user.CreateRoom(t, map[string]any{"preset": "private_chat", "invite": others})
}

// A participant talks with the host who invited them, and with nobody else; nobody else learns that they exist.
func TestParticipantTalksWithTheirHostOnly(t *testing.T) {
	deployment := complement.Deploy(t, 1)
	defer deployment.Destroy(t)
	p := newPlatform(t, deployment)
	ada, grace := p.host(t, "ada"), p.host(t, "grace")
	pat, _ := p.session(t, "s1", "ada", "pat")
	paul, _ := p.session(t, "s2", "grace", "paul")
	participant, host := p.logIn(t, pat), p.logIn(t, ada)
	plain := deployment.Register(t, "hs1", helpers.RegistrationOpts{})

	for _, other := range []string{grace, paul, plain.UserID} {
		mustBeError(t, createRoomWith(t, participant, other), http.StatusForbidden, "M_FORBIDDEN")
		mustBeError(t, createRoomWith(t, participant, ada, other), http.StatusForbidden, "M_FORBIDDEN")
		profile := []string{"_matrix", "client", "v3", "profile", other}
		mustBeError(t, participant.Do(t, "GET", profile), http.StatusNotFound, "M_NOT_FOUND")
	}
	for _, stranger := range []*client.CSAPI{plain, p.logIn(t, paul)} {
		mustBeError(t, createRoomWith(t, stranger, pat), http.StatusForbidden, "M_FORBIDDEN")
		profile := []string{"_matrix", "client", "v3", "profile", pat}
		mustBeError(t, stranger.Do(t, "GET", profile), http.StatusNotFound, "M_NOT_FOUND")
	}
	open := plain.MustCreateRoom(t, map[string]any{"preset": "public_chat"})
	mustBeError(t, participant.JoinRoom(t, open, nil), http.StatusNotFound, "M_NOT_FOUND")

	response := createRoomWith(t, participant, ada)
	roomID := gjson.GetBytes(client.ParseJSON(t, response), "room_id").Str
	host.MustJoinRoom(t, roomID, nil)
	eventID := participant.SendEventSynced(t, roomID, b.Event{
		Type:    "m.room.message",
		Content: map[string]any{"msgtype": "m.text", "body": "good morning"},
	})
	host.MustSyncUntil(t, client.SyncReq{}, client.SyncTimelineHasEventID(roomID, eventID))
	mustBeError(t, createRoomWith(t, participant, ada), http.StatusForbidden, "M_FORBIDDEN")
}

// Outside the session a participant's token is worth nothing, from the moment it ends, and no new one is made.
func TestParticipantIsRefusedOutsideTheirSession(t *testing.T) {
	deployment := complement.Deploy(t, 1)
	defer deployment.Destroy(t)
	p := newPlatform(t, deployment)
	p.host(t, "hopper")
	userID, endsAt := p.session(t, "s3", "hopper", "peg")
	participant := p.logIn(t, userID)
	whoami := []string{"_matrix", "client", "v3", "account", "whoami"}
	last := time.Now()
	refused := participant.Do(t, "GET", whoami, client.WithRetryUntil(session+2*time.Second, func(response *http.Response) bool {
		if response.StatusCode == http.StatusOK {
			last = time.Now()
		}
		return response.StatusCode == http.StatusUnauthorized
	}))
	if now := time.Now(); now.Before(endsAt) {
		t.Errorf("refused %v before the end", endsAt.Sub(now))
	}
	if last.After(endsAt.Add(time.Second)) {
		t.Errorf("let in %v after the end", last.Sub(endsAt))
	}
	must.MatchResponse(t, refused, match.HTTPResponse{JSON: []match.JSON{
		match.JSONKeyEqual("errcode", "M_UNKNOWN_TOKEN"),
	}})
	for _, call := range [][]string{{"GET", "sync"}, {"POST", "createRoom"}, {"GET", "joined_rooms"}} {
		path := []string{"_matrix", "client", "v3", call[1]}
		mustBeError(t, participant.Do(t, call[0], path), http.StatusUnauthorized, "M_UNKNOWN_TOKEN")
	}
	path := []string{"_vestibule", "v1", "login_tokens"}
	again := p.caller.Do(t, "POST", path, client.WithJSONBody(t, map[string]any{"user_id": userID}))
	must.MatchResponse(t, again, match.HTTPResponse{StatusCode: http.StatusForbidden})
}
