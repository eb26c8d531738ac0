package api

import (
	_ "embed"
	"net/http"
)

// discoveryDocument describes the API in the form of Google's discovery format,
// version 1, from which client libraries can be generated. Its root URL cannot
// be used as it stands: the server does not know under what name it is reached.
//
//go:embed discovery.json
var discoveryDocument []byte

func (s *Server) discovery(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		s.fail(w, http.StatusBadRequest, "only HTTP GET supported against this resource")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(discoveryDocument) // a client that has gone away is no concern of ours
}
