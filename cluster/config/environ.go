package config

import (
	"fmt"
	"slices"
	"strings"
)

// ParseEnviron reads configuration from variables by the rule of the apache/kafka image: KAFKA_
// and the key in capitals, where _ stands for a dot, __ for an underscore and ___ for a dash.
// CLUSTER_ID sets cluster.id. A known key with _FILE behind its name takes its value from the
// file named, without the last line end; readFile opens it.
func ParseEnviron(environ []string, readFile func(path string) ([]byte, error)) ([]Entry, error) {
	environ = slices.Clone(environ)
	slices.Sort(environ) // errors come in one order, whatever the order of the variables
	var entries []Entry
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		key, isFile := environKey(name, value)
		if key == "" {
			continue
		}
		if isFile {
			data, err := readFile(value)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			value = strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
		}
		entries = append(entries, Entry{Name: key, Value: value, Where: name})
	}
	return entries, nil
}

// environKey returns the key a variable sets, or "" when it is not configuration.
func environKey(name, value string) (key string, isFile bool) {
	if base, ok := strings.CutSuffix(name, "_FILE"); ok && base == "CLUSTER_ID" {
		return "cluster.id", true
	}
	if name == "CLUSTER_ID" {
		return "cluster.id", false
	}
	rest, ok := strings.CutPrefix(name, "KAFKA_")
	if !ok || rest == "" || slices.Contains(imageVariables, name) || isServiceLink(rest, value) {
		return "", false
	}
	key = environName(rest)
	if _, known := byName[key]; known {
		return key, false
	}
	if base, ok := strings.CutSuffix(rest, "_FILE"); ok {
		if _, known := brokerKey(environName(base)); known {
			return environName(base), true
		}
	}
	return key, false
}

var environEscapes = strings.NewReplacer("___", "-", "__", "_", "_", ".")

func environName(s string) string { return environEscapes.Replace(strings.ToLower(s)) }

// imageVariables start with KAFKA_ without being configuration: they steer the JVM of the
// apache/kafka image, or clients.
var imageVariables = []string{"KAFKA_VERSION", "KAFKA_HOME", "KAFKA_OPTS", "KAFKA_HEAP_OPTS", "KAFKA_JMX_OPTS", "KAFKA_JMX_PORT",
	"KAFKA_JMX_HOSTNAME", "KAFKA_JVM_PERFORMANCE_OPTS", "KAFKA_GC_LOG_OPTS", "KAFKA_LOG4J_OPTS", "KAFKA_LOG4J_LOGGERS",
	"KAFKA_LOG4J_ROOT_LOGLEVEL", "KAFKA_TOOLS_LOG4J_LOGLEVEL", "KAFKA_BROKERS", "KAFKA_BOOTSTRAP_SERVERS"}

// isServiceLink knows the variables that Kubernetes adds for a Service named kafka, kafka-0, ...
// and which have broken many a Kafka container.
func isServiceLink(rest, value string) bool {
	rest = "_" + rest
	isURL := strings.HasPrefix(value, "tcp://") || strings.HasPrefix(value, "udp://")
	return strings.HasSuffix(rest, "_SERVICE_HOST") || strings.Contains(rest, "_SERVICE_PORT") ||
		(strings.Contains(rest, "_PORT_") && (strings.Contains(rest, "_TCP") || strings.Contains(rest, "_UDP"))) ||
		(strings.HasSuffix(rest, "_PORT") && isURL)
}
