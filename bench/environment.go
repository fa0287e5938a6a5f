package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// Environment is where and how a run was made.
type Environment struct {
	CPU        string `json:"cpu"`
	Cores      int    `json:"cores"`
	Memory     int64  `json:"memory_bytes,omitempty"`
	Kernel     string `json:"kernel"`
	Filesystem string `json:"filesystem,omitempty"` // of the broker's open data files, when its process id is known
	Go         string `json:"go"`
	Client     string `json:"client"` // client library and its version
	Broker     string `json:"broker,omitempty"`
	Acks       string `json:"acks,omitempty"`
	Durability string `json:"durability,omitempty"` // what an acknowledgement promised, in words

	Replication int  `json:"replication,omitempty"` // replicas of the topic's partitions
	Brokers     int  `json:"brokers,omitempty"`
	Loopback    bool `json:"loopback"` // broker and load on one machine
}

// LocalEnvironment describes this machine; client names what makes the load.
func LocalEnvironment(client string) Environment {
	return Environment{
		CPU:    cpuModel("/proc/cpuinfo"),
		Cores:  runtime.NumCPU(),
		Memory: memoryBytes("/proc/meminfo"),
		Kernel: kernelVersion("/proc/sys/kernel"),
		Go:     runtime.Version(),
		Client: client,
	}
}

// ClientVersion names the franz-go that is built in.
func ClientVersion() string {
	const path = "github.com/twmb/franz-go"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if dep.Path == path {
				return "franz-go " + dep.Version
			}
		}
	}
	return "franz-go"
}

func cpuModel(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return runtime.GOARCH
	}
	for line := range bytes.Lines(b) {
		if name, value, ok := bytes.Cut(line, []byte(":")); ok && string(bytes.TrimSpace(name)) == "model name" {
			return string(bytes.TrimSpace(value))
		}
	}
	return runtime.GOARCH
}

func memoryBytes(path string) int64 {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	return parseStatus(b)["MemTotal"] << 10
}

func kernelVersion(dir string) string {
	var parts []string
	for _, name := range []string{"ostype", "osrelease"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return runtime.GOOS
		}
		parts = append(parts, strings.TrimSpace(string(b)))
	}
	return strings.Join(parts, " ")
}

// brokerFilesystem returns the type of the filesystem that holds the files which a process has open
// for data: the one with most of its open regular files outside /proc, /dev and program folders.
func brokerFilesystem(pid int) string {
	dir := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	fds, err := os.ReadDir(dir)
	if err != nil {
		return ""
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return ""
	}
	counted := map[string]int{}
	best := ""
	for _, fd := range fds {
		target, err := os.Readlink(filepath.Join(dir, fd.Name()))
		if err != nil || !filepath.IsAbs(target) || !dataFile(target) {
			continue
		}
		kind := filesystemOf(target, mounts)
		counted[kind]++
		if counted[kind] > counted[best] {
			best = kind
		}
	}
	return best
}

func dataFile(path string) bool {
	for _, suffix := range []string{".log", ".index", ".timeindex", ".blk", ".db"} {
		if strings.HasSuffix(path, suffix) {
			return true
		}
	}
	return false
}

// filesystemOf returns the type of the mount with the longest matching path; mounts has the form of
// /proc/self/mounts.
func filesystemOf(path string, mounts []byte) string {
	kind, longest := "", 0
	for line := range bytes.Lines(mounts) {
		f := strings.Fields(string(line))
		if len(f) < 3 {
			continue
		}
		point := f[1]
		under := path == point || strings.HasPrefix(path, strings.TrimSuffix(point, "/")+"/")
		if under && len(point) >= longest {
			kind, longest = f[2], len(point)
		}
	}
	return kind
}

func (e Environment) writeText(b *strings.Builder) {
	fmt.Fprintf(b, "  on %s, %d cores, %s, %s", e.CPU, e.Cores, e.Kernel, e.Go)
	if e.Filesystem != "" {
		fmt.Fprintf(b, ", %s", e.Filesystem)
	}
	fmt.Fprintf(b, "; client %s", e.Client)
	if e.Broker != "" {
		fmt.Fprintf(b, "; broker %s", e.Broker)
	}
	b.WriteString("\n")
	if e.Acks != "" {
		fmt.Fprintf(b, "  acks=%s: %s\n", e.Acks, e.Durability)
	}
}

// notProven lists what a run in this environment leaves open.
func (e Environment) notProven() []string {
	var out []string
	if e.Loopback {
		out = append(out, fmt.Sprintf("one machine: load and broker share its %d cores and the loopback device, so no network was in the way and the two slowed each other down", e.Cores))
	}
	if e.Replication == 1 {
		out = append(out, "replication 1: nothing was copied to a second broker, and no broker failed")
	}
	if e.Durability != "" && e.Durability != durableOnDisk {
		out = append(out, "durability: "+e.Durability)
	}
	return out
}
