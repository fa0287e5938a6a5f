package controller

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/cluster/metadata"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testConfig(dir string, isNew bool) Config {
	return Config{Dir: filepath.Join(dir, "controller"), NodeID: 1, Directory: [16]byte{1}, New: isNew}
}

func open(t *testing.T, config Config) *Controller {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c, err := Open(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func propose(t *testing.T, c *Controller, command metadata.Command) any {
	t.Helper()
	result, err := c.Propose(t.Context(), command)
	if err != nil {
		t.Fatalf("%T: %v", command, err)
	}
	return result
}

func register(t *testing.T, c *Controller) {
	t.Helper()
	propose(t, c, metadata.RegisterBroker{ID: 1, Directory: [16]byte{1}, Endpoints: []metadata.Endpoint{{Listener: "PLAINTEXT", Host: "127.0.0.1", Port: 9092}}})
}

func createTopic(t *testing.T, c *Controller, id byte, name string) {
	t.Helper()
	results := propose(t, c, metadata.CreateTopics{MaxPartitions: 1000, Topics: []metadata.NewTopic{
		{Name: name, ID: metadata.UUID{id, id}, Assignment: [][]int32{{1}}}}}).([]metadata.TopicResult)
	if results[0].Err != nil {
		t.Fatal(results[0].Err)
	}
}

func TestRestartKeepsEverything(t *testing.T) {
	dir := t.TempDir()
	start := time.Now()
	c := open(t, testConfig(dir, true))
	t.Log("first open", time.Since(start))
	register(t, c)
	createTopic(t, c, 7, "orders")
	want := c.Image().Encode()
	if err := errors.Join(c.Close(), c.Close()); err != nil {
		t.Fatal(err)
	}
	start = time.Now()
	c = open(t, testConfig(dir, false))
	t.Log("second open", time.Since(start))
	if string(c.Image().Encode()) != string(want) {
		t.Fatal("the image differs after a restart")
	}
	if leader, ok := c.Leader(); !ok || leader != 1 {
		t.Fatal(leader, ok)
	}
}
