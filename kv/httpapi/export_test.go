package httpapi

// WithoutLoop leaves all connections to net/http.
func WithoutLoop(a *API) *API {
	a.allCold = true
	return a
}
