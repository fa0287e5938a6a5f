//go:build interop

package interop

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// kafkaTools tells one story with Apache Kafka's own command line tools, in the order in which a person
// would: make a topic, change it, write, look, read, delete records, delete the topic.
func kafkaTools(t *testing.T, b *broker) {
	topic := fmt.Sprintf("tools-%d", time.Now().UnixMilli())
	tool := func(mainClass, input string, args ...string) string {
		t.Helper()
		return runTool(t, mainClass, input, append([]string{"--bootstrap-server", b.address}, args...)...)
	}
	wants := func(out string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(out, part) {
				t.Fatalf("no %q in:\n%s", part, out)
			}
		}
	}
	const (
		topics   = "org.apache.kafka.tools.TopicCommand"
		offsets  = "org.apache.kafka.tools.GetOffsetShell"
		producer = "org.apache.kafka.tools.ConsoleProducer"
		consumer = "org.apache.kafka.tools.consumer.ConsoleConsumer"
	)

	wants(tool("org.apache.kafka.tools.BrokerApiVersionsCommand", ""), "Produce(0): ", "Fetch(1): ", "usable: ")
	wants(tool(topics, "", "--create", "--topic", topic, "--partitions", "2", "--config", "retention.ms=3600000"),
		"Created topic "+topic)
	wants(tool(topics, "", "--list"), topic)
	tool(topics, "", "--alter", "--topic", topic, "--partitions", "3")
	wants(tool(configCommand, "", "--alter", "--entity-type", "topics", "--entity-name", topic,
		"--add-config", "max.message.bytes=2000000"), "Completed updating config")
	wants(tool(topics, "", "--describe", "--topic", topic),
		"PartitionCount: 3", "ReplicationFactor: 1", "retention.ms=3600000", "max.message.bytes=2000000", "Partition: 2\tLeader: ")
	wants(tool(configCommand, "", "--describe", "--entity-type", "topics", "--entity-name", topic),
		"retention.ms=3600000", "max.message.bytes=2000000", "DYNAMIC_TOPIC_CONFIG")

	tool(producer, "u1:first\nu1:second\nu1:third\n", "--topic", topic,
		"--reader-property", "parse.key=true", "--reader-property", "key.separator=:")
	at := tool(offsets, "", "--topic", topic)
	partition := -1
	for p := range 3 {
		if strings.Contains(at, fmt.Sprintf("%s:%d:3\n", topic, p)) {
			partition = p
		}
	}
	if partition < 0 {
		t.Fatalf("no partition holds the three records of the one key:\n%s", at)
	}
	read := func(offset string, records string) string {
		t.Helper()
		return tool(consumer, "", "--topic", topic, "--partition", fmt.Sprint(partition), "--offset", offset,
			"--max-messages", records, "--formatter-property", "print.key=true", "--formatter-property", "print.offset=true")
	}
	wants(read("earliest", "3"), "Offset:0\tu1\tfirst\nOffset:1\tu1\tsecond\nOffset:2\tu1\tthird\n")
	wants(tool("org.apache.kafka.tools.LogDirsCommand", "", "--describe", "--topic-list", topic),
		fmt.Sprintf(`"partition":"%s-%d"`, topic, partition))

	wants(tool("org.apache.kafka.tools.DeleteRecordsCommand", "", "--offset-json-file", deletion(t, topic, partition, 2)),
		"low_watermark: 2")
	wants(tool(offsets, "", "--topic", topic, "--time", "earliest"), fmt.Sprintf("%s:%d:2\n", topic, partition))
	wants(read("2", "1"), "Offset:2\tu1\tthird\n")
	tool(topics, "", "--delete", "--topic", topic)
	if out := tool(topics, "", "--list"); strings.Contains(out, topic) {
		t.Errorf("%s is still listed:\n%s", topic, out)
	}
}

// deletion writes the file that says "delete what lies before this offset".
func deletion(t *testing.T, topic string, partition, before int) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"version":    1,
		"partitions": []any{map[string]any{"topic": topic, "partition": partition, "offset": before}},
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "delete.json")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// runTool wants one of Kafka's tools to do what it is told.
func runTool(t *testing.T, mainClass, input string, args ...string) string {
	t.Helper()
	out, complaints, err := tryTool(t, mainClass, input, args...)
	if err != nil {
		t.Fatalf("%s %q: %v\n%s%s", mainClass, args, err, out, tail([]byte(complaints), 4000))
	}
	return out
}

// tryTool runs one, which may fail.
func tryTool(t *testing.T, mainClass, input string, args ...string) (out, complaints string, err error) {
	t.Helper()
	argv := append(javaCommand(t, mainClass), args...)
	command := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	command.Stdin = strings.NewReader(input)
	var stdout, stderr strings.Builder
	command.Stdout, command.Stderr = &stdout, &stderr
	err = command.Run()
	return stdout.String(), stderr.String(), err
}
