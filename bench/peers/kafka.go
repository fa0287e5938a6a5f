package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Versions of what Maven fetches. slf4j is named because Kafka itself asks for the 1.x that the log4j
// binding no longer serves.
const (
	kafkaVersion = "4.3.1"
	log4jVersion = "2.26.1"
	slf4jVersion = "2.0.17"
)

// Heap and collector are those of Kafka's own start script.
var kafkaJVM = []string{
	"-Xms1G", "-Xmx1G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
	"-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true",
}

// kafkaPeer is one Apache Kafka node, broker and KRaft controller in one process.
type kafkaPeer struct {
	cache string
	java  string // version line
}

func (p *kafkaPeer) name() string { return nameKafka }

func (p *kafkaPeer) libs() string { return filepath.Join(p.cache, "libs") }

func (p *kafkaPeer) prepare(ctx context.Context, _ string) error {
	out, err := command(ctx, "", nil, "java", "-version")
	if err != nil {
		return err
	}
	p.java, _, _ = strings.Cut(out, "\n")
	// The marker is written last: a fetch cut short is done again.
	marker := filepath.Join(p.cache, "complete")
	if exists(marker) {
		return nil
	}
	if err := os.MkdirAll(p.cache, 0o755); err != nil {
		return err
	}
	pom := filepath.Join(p.cache, "pom.xml")
	if err := os.WriteFile(pom, []byte(kafkaPOM()), 0o644); err != nil {
		return err
	}
	if _, err := command(ctx, p.cache, nil, "mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies", "-DoutputDirectory="+p.libs()); err != nil {
		return err
	}
	return os.WriteFile(marker, nil, 0o644)
}

func kafkaPOM() string {
	var deps strings.Builder
	for _, d := range [][3]string{
		{"org.apache.kafka", "kafka_2.13", kafkaVersion},
		{"org.apache.kafka", "kafka-tools", kafkaVersion},
		{"org.apache.logging.log4j", "log4j-slf4j2-impl", log4jVersion},
		{"org.apache.logging.log4j", "log4j-core", log4jVersion},
		{"org.slf4j", "slf4j-api", slf4jVersion},
	} {
		fmt.Fprintf(&deps, "    <dependency><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version></dependency>\n", d[0], d[1], d[2])
	}
	return `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>weir.bench</groupId><artifactId>kafka-peer</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
` + deps.String() + `  </dependencies>
</project>
`
}

func (p *kafkaPeer) describe() (string, string) {
	return "Apache Kafka " + kafkaVersion + ", " + p.java,
		"KRaft, one node, broker defaults (deleted topics are removed after 1 s, so that they do not weigh on the next load); JVM " + strings.Join(kafkaJVM[:2], " ") + " and G1 as in kafka-server-start.sh, logging at WARN; topics with defaults (page cache) or flush.messages=1 (synced)"
}

func (p *kafkaPeer) promises() promises {
	return promises{cached: map[string]string{}, synced: map[string]string{"flush.messages": "1"}}
}

const kafkaLogging = `status=error
appender.c.type=Console
appender.c.name=C
appender.c.layout.type=PatternLayout
appender.c.layout.pattern=%d %p %c: %m%n
rootLogger.level=warn
rootLogger.appenderRef.c.ref=C
`

func kafkaProperties(broker, controller int, data string) string {
	return fmt.Sprintf(`process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:%[1]d,CONTROLLER://127.0.0.1:%[2]d
advertised.listeners=PLAINTEXT://127.0.0.1:%[1]d
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.quorum.voters=1@127.0.0.1:%[2]d
log.dirs=%[3]s
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.segment.delete.delay.ms=1000
`, broker, controller, data)
}

func (p *kafkaPeer) measure(ctx context.Context, s *sitting, dir string) error {
	broker, err := pickPort()
	controller, err2 := pickPort()
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	properties, logging := filepath.Join(dir, "server.properties"), filepath.Join(dir, "log4j2.properties")
	err = errors.Join(
		os.WriteFile(properties, []byte(kafkaProperties(broker, controller, filepath.Join(dir, "data"))), 0o644),
		os.WriteFile(logging, []byte(kafkaLogging), 0o644))
	if err != nil {
		return err
	}
	java := append([]string{"-Dlog4j2.configurationFile=" + logging, "-cp", filepath.Join(p.libs(), "*")}, kafkaJVM...)
	// Any 16 bytes in base64 are a cluster id.
	if _, err := command(ctx, dir, nil, "java", append(java, "kafka.tools.StorageTool", "format", "-t", "d2VpcnBlZXJzYmVuY2gwMQ", "-c", properties)...); err != nil {
		return err
	}
	cmd := exec.Command("java", append(java, "kafka.Kafka", properties)...)
	cmd.Dir = dir
	srv, err := startServer(ctx, cmd, fmt.Sprintf("127.0.0.1:%d", broker), filepath.Join(dir, "kafka.txt"), answersKafka)
	if err != nil {
		return err
	}
	return errors.Join(s.kafkaLoads(ctx, p.name(), srv, p.promises()), srv.stop())
}
