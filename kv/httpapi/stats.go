package httpapi

import (
	"encoding/json"
	"net/http"
	"time"
)

// Activity tells how busy a member is, for /v2/stats.
type Activity struct {
	Name    string
	ID      uint64
	Started time.Time
	// Leader is the id of the member that leads, 0 for none; LeaderSince is since
	// when it does, as this member saw it.
	Leader      uint64
	LeaderSince time.Time
	// Sent and Received are the appends of the log that go to other members and
	// come from them.
	Sent, Received Traffic
	// Followers are the other members, of which only the leader tells.
	Followers []Follower
	// Expired counts the nodes that have expired.
	Expired uint64
}

// Traffic is a number of messages, and at what rate the latest of them passed.
type Traffic struct {
	Messages                  uint64
	PerSecond, BytesPerSecond float64
}

// Follower tells how a member is reached by the leader.
type Follower struct {
	ID uint64
	// Sent counts appends sent to the follower, Failed messages that could not be.
	Sent, Failed uint64
	// Latency is how long messages take there and back.
	Latency Latency
}

// Latency is how a duration varies.
type Latency struct {
	Current, Average, Deviation, Min, Max time.Duration
}

// serveStats answers requests below /v2/stats.
func (a *API) serveStats(w http.ResponseWriter, r *http.Request, what string) {
	if r.Method != http.MethodGet {
		methodNotAllowed(w, "GET")
		return
	}
	var err error
	switch what {
	case "store":
		err = writeStats(w, a.storeStats())
	case "self":
		err = writeStats(w, selfStatsOf(a.cfg.Activity(), time.Now()))
	case "leader":
		activity := a.cfg.Activity()
		if activity.Leader == 0 || activity.Leader != activity.ID {
			writeMessage(w, http.StatusForbidden, "not current leader")
			return
		}
		err = writeStats(w, leaderStatsOf(activity))
	}
	if err != nil {
		a.writeFailure(w, r, err)
	}
}

// writeStats answers with a document that unlike others ends without a newline.
func writeStats(w http.ResponseWriter, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, b)
	return nil
}

// storeStats is the document under /v2/stats/store.
type storeStats struct {
	GetsSuccess             uint64 `json:"getsSuccess"`
	GetsFail                uint64 `json:"getsFail"`
	SetsSuccess             uint64 `json:"setsSuccess"`
	SetsFail                uint64 `json:"setsFail"`
	DeleteSuccess           uint64 `json:"deleteSuccess"`
	DeleteFail              uint64 `json:"deleteFail"`
	UpdateSuccess           uint64 `json:"updateSuccess"`
	UpdateFail              uint64 `json:"updateFail"`
	CreateSuccess           uint64 `json:"createSuccess"`
	CreateFail              uint64 `json:"createFail"`
	CompareAndSwapSuccess   uint64 `json:"compareAndSwapSuccess"`
	CompareAndSwapFail      uint64 `json:"compareAndSwapFail"`
	CompareAndDeleteSuccess uint64 `json:"compareAndDeleteSuccess"`
	CompareAndDeleteFail    uint64 `json:"compareAndDeleteFail"`
	ExpireCount             uint64 `json:"expireCount"`
	Watchers                int64  `json:"watchers"`
}

func (a *API) storeStats() storeStats {
	ok := func(op operation) uint64 { return a.counts.ok[op].Load() }
	failed := func(op operation) uint64 { return a.counts.failed[op].Load() }
	s := storeStats{
		GetsSuccess: ok(opGet) + ok(opGetRecursive), GetsFail: failed(opGet) + failed(opGetRecursive),
		SetsSuccess: ok(opSet), SetsFail: failed(opSet),
		DeleteSuccess: ok(opDelete), DeleteFail: failed(opDelete),
		UpdateSuccess: ok(opUpdate), UpdateFail: failed(opUpdate),
		CreateSuccess: ok(opCreate), CreateFail: failed(opCreate),
		CompareAndSwapSuccess: ok(opSwap), CompareAndSwapFail: failed(opSwap),
		CompareAndDeleteSuccess: ok(opCompareAndDelete), CompareAndDeleteFail: failed(opCompareAndDelete),
		Watchers: a.counts.watches.Load(),
	}
	if a.cfg.Activity != nil {
		s.ExpireCount = a.cfg.Activity().Expired
	}
	return s
}

// selfStats is the document under /v2/stats/self.
type selfStats struct {
	Name       string    `json:"name"`
	ID         string    `json:"id"`
	State      string    `json:"state"`
	StartTime  time.Time `json:"startTime"`
	LeaderInfo struct {
		Leader    string    `json:"leader"`
		Uptime    string    `json:"uptime"`
		StartTime time.Time `json:"startTime"`
	} `json:"leaderInfo"`
	ReceivedAppends   uint64  `json:"recvAppendRequestCnt"`
	ReceivedRate      float64 `json:"recvPkgRate,omitempty"`
	ReceivedBandwidth float64 `json:"recvBandwidthRate,omitempty"`
	SentAppends       uint64  `json:"sendAppendRequestCnt"`
	SentRate          float64 `json:"sendPkgRate,omitempty"`
	SentBandwidth     float64 `json:"sendBandwidthRate,omitempty"`
}

func selfStatsOf(a Activity, now time.Time) selfStats {
	s := selfStats{
		Name: a.Name, ID: formatID(a.ID), State: "StateFollower", StartTime: a.Started.UTC(),
		ReceivedAppends: a.Received.Messages, ReceivedRate: a.Received.PerSecond, ReceivedBandwidth: a.Received.BytesPerSecond,
		SentAppends: a.Sent.Messages, SentRate: a.Sent.PerSecond, SentBandwidth: a.Sent.BytesPerSecond,
	}
	if a.Leader != 0 && a.Leader == a.ID {
		s.State = "StateLeader"
	}
	if a.Leader != 0 {
		s.LeaderInfo.Leader = formatID(a.Leader)
	}
	s.LeaderInfo.Uptime = now.Sub(a.LeaderSince).String()
	s.LeaderInfo.StartTime = a.LeaderSince.UTC()
	return s
}

// leaderStats is the document under /v2/stats/leader. Times are milliseconds.
type leaderStats struct {
	Leader    string                   `json:"leader"`
	Followers map[string]followerStats `json:"followers"`
}

type followerStats struct {
	Latency struct {
		Current   float64 `json:"current"`
		Average   float64 `json:"average"`
		Deviation float64 `json:"standardDeviation"`
		Min       float64 `json:"minimum"`
		Max       float64 `json:"maximum"`
	} `json:"latency"`
	Counts struct {
		Fail    uint64 `json:"fail"`
		Success uint64 `json:"success"`
	} `json:"counts"`
}

func leaderStatsOf(a Activity) leaderStats {
	s := leaderStats{Leader: formatID(a.ID), Followers: make(map[string]followerStats, len(a.Followers))}
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	for _, f := range a.Followers {
		var fs followerStats
		l := &fs.Latency
		l.Current, l.Average, l.Deviation = ms(f.Latency.Current), ms(f.Latency.Average), ms(f.Latency.Deviation)
		l.Min, l.Max = ms(f.Latency.Min), ms(f.Latency.Max)
		fs.Counts.Fail, fs.Counts.Success = f.Failed, f.Sent
		s.Followers[formatID(f.ID)] = fs
	}
	return s
}
