package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
)

// What Complement signs its registrations with (its client.SharedSecret).
const sharedSecret = "complement"

// Where Complement asks for accounts, as of Synapse.
const registerPath = "/_synapse/admin/v1/register"

// operator answers the one call that is an operator's work: an account made with a shared secret, an administrator's if asked. Vestibule
// has no such call: its operator uses `vestibule user`. Everything else goes to Vestibule.
type operator struct {
	vestibule http.Handler
	mutex     sync.Mutex
	nonces    map[string]bool
}

func (o *operator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == registerPath && r.Method == http.MethodGet:
		respond(w, http.StatusOK, map[string]any{"nonce": o.nonce()})
	case r.URL.Path == registerPath && r.Method == http.MethodPost:
		o.register(w, r)
	default:
		o.vestibule.ServeHTTP(w, r)
	}
}

func (o *operator) nonce() string {
	nonce := rand.Text()
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.nonces[nonce] = true
	return nonce
}

// use answers whether the nonce was given out and has not been used.
func (o *operator) use(nonce string) bool {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	given := o.nonces[nonce]
	delete(o.nonces, nonce)
	return given
}

type registration struct {
	Nonce    string `json:"nonce"`
	Username string `json:"username"`
	Password string `json:"password"`
	Admin    bool   `json:"admin"`
	MAC      string `json:"mac"`
}

// signed answers whether the registration is by somebody who knows the secret.
func (r registration) signed() bool {
	role := "notadmin"
	if r.Admin {
		role = "admin"
	}
	want := hmac.New(sha1.New, []byte(sharedSecret))
	want.Write([]byte(strings.Join([]string{r.Nonce, r.Username, r.Password, role}, "\x00")))
	got, err := hex.DecodeString(r.MAC)
	return err == nil && hmac.Equal(got, want.Sum(nil))
}

// register makes the account as anybody would, and has the operator's command promote it.
func (o *operator) register(w http.ResponseWriter, r *http.Request) {
	var wanted registration
	if json.NewDecoder(r.Body).Decode(&wanted) != nil || !o.use(wanted.Nonce) || !wanted.signed() {
		respond(w, http.StatusForbidden, map[string]any{"errcode": "M_FORBIDDEN", "error": "this registration is not signed with the secret"})
		return
	}
	body, err := json.Marshal(map[string]any{
		"username": wanted.Username,
		"password": wanted.Password,
		"auth":     map[string]string{"type": "m.login.dummy"},
	})
	if err != nil {
		fail(err)
	}
	answer, err := http.Post("http://"+vestibuleAddress+"/_matrix/client/v3/register", "application/json", bytes.NewReader(body))
	if err != nil {
		respond(w, http.StatusBadGateway, map[string]any{"errcode": "M_UNKNOWN", "error": err.Error()})
		return
	}
	defer answer.Body.Close()
	var made map[string]any
	if err := json.NewDecoder(answer.Body).Decode(&made); err != nil {
		respond(w, http.StatusBadGateway, map[string]any{"errcode": "M_UNKNOWN", "error": err.Error()})
		return
	}
	if answer.StatusCode == http.StatusOK && wanted.Admin {
		userID, _ := made["user_id"].(string)
		if output, err := vestibuleCommand("user", "promote", userID).CombinedOutput(); err != nil {
			respond(w, http.StatusBadGateway, map[string]any{"errcode": "M_UNKNOWN", "error": string(output)})
			return
		}
	}
	respond(w, answer.StatusCode, made)
}

func respond(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
