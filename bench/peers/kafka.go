package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
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

// kafkaPeer is Apache Kafka, each node broker and KRaft controller in one process.
type kafkaPeer struct {
	cache   string
	java    string // version line
	brokers int
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
	nodes := "one node"
	if p.brokers > 1 {
		nodes = fmt.Sprintf("%d nodes", p.brokers)
	}
	return "Apache Kafka " + kafkaVersion + ", " + p.java,
		"KRaft, " + nodes + ", broker defaults (deleted topics are removed after 1 s, so that they do not weigh on the next load); JVM " + strings.Join(kafkaJVM[:2], " ") + " and G1 as in kafka-server-start.sh, logging at WARN; topics with defaults (page cache) or flush.messages=1 (synced)"
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

// kafkaProperties are those of node id, all but the folder; brokers and controllers are where the nodes
// listen as either. Internal topics have a replica on each of one or three nodes, as by Kafka's defaults.
func kafkaProperties(id int, brokers, controllers []string) string {
	var voters []string
	for i, address := range controllers {
		voters = append(voters, fmt.Sprintf("%d@%s", i+1, address))
	}
	replicas := len(brokers)
	alone := replicas == 1 // nodes that all end at once would wait for each other
	return fmt.Sprintf(`process.roles=broker,controller
node.id=%[1]d
listeners=PLAINTEXT://%[2]s,CONTROLLER://%[3]s
advertised.listeners=PLAINTEXT://%[2]s
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.quorum.voters=%[4]s
offsets.topic.replication.factor=%[5]d
transaction.state.log.replication.factor=%[5]d
transaction.state.log.min.isr=%[6]d
log.segment.delete.delay.ms=1000
controlled.shutdown.enable=%[7]t
`, id, brokers[id-1], controllers[id-1], strings.Join(voters, ","), replicas, replicas/2+1, alone)
}

func (p *kafkaPeer) measure(ctx context.Context, s *sitting, dir string) error {
	c, err := p.start(ctx, dir)
	if err != nil {
		return err
	}
	return errors.Join(s.kafkaLoads(ctx, p.name(), c, p.promises()), c.stop())
}

func (p *kafkaPeer) start(ctx context.Context, dir string) (cluster, error) {
	addresses, err := pickAddresses(2 * p.brokers)
	if err != nil {
		return nil, err
	}
	brokers, controllers := addresses[:p.brokers], addresses[p.brokers:]
	// All are formatted before the first starts, so that the time of start is that of the servers.
	var commands []*exec.Cmd
	for id := 1; id <= p.brokers; id++ {
		cmd, err := p.format(ctx, filepath.Join(dir, strconv.Itoa(id)), kafkaProperties(id, brokers, controllers))
		if err != nil {
			return nil, err
		}
		commands = append(commands, cmd)
	}
	return startCluster(ctx, dir, brokers, commands)
}

// format makes a node's folder and returns the command that runs the node in it.
func (p *kafkaPeer) format(ctx context.Context, home, properties string) (*exec.Cmd, error) {
	config, logging := filepath.Join(home, "server.properties"), filepath.Join(home, "log4j2.properties")
	err := errors.Join(
		os.Mkdir(home, 0o755),
		os.WriteFile(config, []byte(properties+"log.dirs="+filepath.Join(home, "data")+"\n"), 0o644),
		os.WriteFile(logging, []byte(kafkaLogging), 0o644))
	if err != nil {
		return nil, err
	}
	java := append([]string{"-Dlog4j2.configurationFile=" + logging, "-cp", filepath.Join(p.libs(), "*")}, kafkaJVM...)
	// Any 16 bytes in base64 are a cluster id.
	if _, err := command(ctx, home, nil, "java", append(java, "kafka.tools.StorageTool", "format", "-t", "d2VpcnBlZXJzYmVuY2gwMQ", "-c", config)...); err != nil {
		return nil, err
	}
	cmd := exec.Command("java", append(java, "kafka.Kafka", config)...)
	cmd.Dir = home
	return cmd, nil
}
