package adminhttp

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"weir/cluster/broker/brokertest"
)

func TestHealthAndPaths(t *testing.T) {
	s := serve(t, nil)
	if code, kind, body := get(t, s, "/healthz"); code != http.StatusOK || kind != "application/json" || body != `{"status":"ok"}`+"\n" {
		t.Errorf("healthz: %d, %s, %s", code, kind, body)
	}
	if code, _, body := get(t, s, "/readyz"); code != http.StatusServiceUnavailable || body != `{"status":"not ready","reasons":["the broker is starting"]}`+"\n" {
		t.Errorf("readyz of a broker that starts: %d, %s", code, body)
	}
	if got := scrape(t, s); got["weir_uptime_seconds"] <= 0 || got["process_open_fds"] <= 0 {
		t.Errorf("metrics of a broker that starts: %v", got)
	}
	if code, _, _ := get(t, s, "/"); code != http.StatusNotFound {
		t.Errorf("a path that is none: %d", code)
	}
	resp, err := http.Post("http://"+s.Addr()+"/metrics", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", resp.StatusCode)
	}
}

// TestReady: no, with the reason, while the broker is drained, stops, or a partition of it has no leader.
func TestReady(t *testing.T) {
	brokers := brokertest.Cluster(t, 3, nil)
	s := newScene(t, 1, 1, brokers...)
	admin := serve(t, brokers[0])
	await := func(code int, reason string) {
		t.Helper()
		brokertest.Eventually(t, fmt.Sprintf("%d, %s", code, reason), func() bool {
			got, _, body := get(t, admin, "/v1/status/ready")
			return got == code && strings.Contains(body, reason)
		})
	}
	await(http.StatusOK, `{"status":"ready"}`)

	drain := func(op kadm.IncrementalOp) {
		t.Helper()
		responses, err := s.AlterBrokerConfigs(t.Context(), []kadm.AlterConfig{{Op: op, Name: "broker.drained", Value: kadm.StringPtr("true")}}, 1)
		if err == nil {
			_, err = responses.On("1", nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	drain(kadm.SetConfig)
	await(http.StatusServiceUnavailable, "the broker is drained")
	drain(kadm.DeleteConfig)
	await(http.StatusOK, "")

	// A partition of brokers 1 and 2 has no majority without one of them.
	var move kadm.AlterPartitionAssignmentsReq
	move.Assign("orders", 0, []int32{1, 2})
	if _, err := s.AlterPartitionAssignments(t.Context(), move); err != nil {
		t.Fatal(err)
	}
	brokertest.Eventually(t, "the partition has both replicas in sync", func() bool {
		details, err := s.ListTopics(t.Context(), "orders")
		return err == nil && len(details["orders"].Partitions[0].ISR) == 2
	})
	await(http.StatusOK, "")
	dir, peer := brokers[1].Node().DataDir(), brokers[0].Node().PeerAddress()
	brokertest.Stop(t, brokers[1])
	await(http.StatusServiceUnavailable, "partitions have no leader: ")
	again := brokertest.StartIn(t, dir, map[string]string{"node.id": "2", "peer.listener": "127.0.0.1:0", "peer.seeds": peer})
	t.Cleanup(func() { brokertest.Stop(t, again) })
	await(http.StatusOK, "")

	admin.Stopping()
	await(http.StatusServiceUnavailable, "the broker is stopping")
}

// TestScrapeOfAStoppedBroker: who asks until the end gets an answer.
func TestScrapeOfAStoppedBroker(t *testing.T) {
	b := brokertest.Start(t, nil)
	s := newScene(t, 1, 1, b)
	s.produce(t, 0, 2, time.Now())
	s.commit(t, "billing", 0, 1)
	admin := serve(t, b)
	brokertest.Stop(t, b)
	if got := scrape(t, admin); got["weir_uptime_seconds"] <= 0 {
		t.Errorf("%v", got)
	}
	if code, _, body := get(t, admin, "/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("%d, %s", code, body)
	}
}

// TestHostileClients: what is too much is refused, and takes nothing from others.
func TestHostileClients(t *testing.T) {
	s := serve(t, nil)
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	c := dial()
	go fmt.Fprintf(c, "GET /metrics HTTP/1.1\r\nHost: x\r\nX-Long: %s\r\n\r\n", strings.Repeat("x", maxHeaderBytes+8<<10))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a header that is too long: %v, %v", resp, err)
	}
	c.Close()

	// As many connections as there may be, none of which asks for anything; one more is closed.
	var open []net.Conn
	for range maxConnections {
		open = append(open, dial())
	}
	for _, c := range open { // each is served, and waits in silence then
		if _, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	served := 0
	for _, c := range open {
		c.SetReadDeadline(time.Now().Add(time.Minute))
		if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil && resp.StatusCode == http.StatusOK {
			served++
		}
	}
	if served < maxConnections-1 { // the one with the long header may have been open still
		t.Errorf("%d of %d connections are served", served, maxConnections)
	}
	more := dial()
	more.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := more.Read(make([]byte, 1)); err == nil {
		t.Error("one connection too many is served")
	}
	for _, c := range open {
		c.Close()
	}
	brokertest.Eventually(t, "the port is of use again", func() bool {
		resp, err := http.Get("http://" + s.Addr() + "/healthz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	if h := &s.http; h.ReadHeaderTimeout <= 0 || h.ReadTimeout <= 0 || h.WriteTimeout <= 0 || h.IdleTimeout <= 0 {
		t.Error("a client may take for ever")
	}
}
