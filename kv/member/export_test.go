package member

// Log returns the indexes of the first and last entry of the member's log.
func (m *Member) Log() (first, last uint64) {
	st := m.node.Status()
	return st.First, st.Last
}

// Snapshots returns how many snapshots this member has installed.
func (m *Member) Snapshots() uint64 { return m.node.Stats().SnapshotsReceived }

// Hears reports whether this member leads and has heard of another one lately.
func (m *Member) Hears(id uint64) bool { return m.hears(id) }
