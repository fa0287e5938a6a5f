package bench

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// clockTicksPerSecond is USER_HZ, the unit of times in /proc/PID/stat: 100 on every Linux port that
// Go runs on.
const clockTicksPerSecond = 100

// ProcessSample is one reading of a process, all its threads together.
type ProcessSample struct {
	Name          string  // command name, in parentheses in /proc/PID/stat
	StartTicks    uint64  // start time of the process: tells a reused process id
	UserSeconds   float64 // CPU in user mode, ended threads included
	SystemSeconds float64 // CPU in the kernel on its behalf
	Threads       int

	RSSBytes      int64 // resident now
	PeakRSSBytes  int64 // high water mark of resident memory since the process began
	RSSAnonBytes  int64 // heap and stacks
	RSSFileBytes  int64 // mapped files: page cache that the kernel can take back
	PSSBytes      int64 // resident with shared pages divided by their users; 0 when not readable
	CtxVoluntary  int64 // context switches of living threads: waited for something
	CtxPreempted  int64 // context switches of living threads: was put aside
	ctxIncomplete bool
}

// SampleProcess reads process pid from /proc. It works on Linux only.
func SampleProcess(pid int) (ProcessSample, error) { return sampleProcess("/proc", pid) }

func sampleProcess(proc string, pid int) (ProcessSample, error) {
	dir := filepath.Join(proc, strconv.Itoa(pid))
	var s ProcessSample
	b, err := os.ReadFile(filepath.Join(dir, "stat"))
	if errors.Is(err, fs.ErrNotExist) {
		return s, fmt.Errorf("no process %d on this machine: %w", pid, err)
	}
	if err != nil {
		return s, err
	}
	if err := s.parseStat(b); err != nil {
		return s, fmt.Errorf("process %d: %w", pid, err)
	}
	b, err = os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return s, err
	}
	fields := parseStatus(b)
	s.RSSBytes, s.PeakRSSBytes = fields["VmRSS"]<<10, fields["VmHWM"]<<10
	s.RSSAnonBytes, s.RSSFileBytes = fields["RssAnon"]<<10, fields["RssFile"]<<10
	// Another user's process does not show this; the rest is worth having all the same.
	if b, err := os.ReadFile(filepath.Join(dir, "smaps_rollup")); err == nil {
		s.PSSBytes = parseStatus(b)["Pss"] << 10
	}
	return s, s.addContextSwitches(filepath.Join(dir, "task"))
}

// addContextSwitches sums over threads: the status of the process counts its first thread only.
func (s *ProcessSample) addContextSwitches(taskDir string) error {
	threads, err := os.ReadDir(taskDir)
	if err != nil {
		return err
	}
	for _, t := range threads {
		b, err := os.ReadFile(filepath.Join(taskDir, t.Name(), "status"))
		if err != nil {
			s.ctxIncomplete = true // the thread ended meanwhile
			continue
		}
		fields := parseStatus(b)
		s.CtxVoluntary += fields["voluntary_ctxt_switches"]
		s.CtxPreempted += fields["nonvoluntary_ctxt_switches"]
	}
	return nil
}

// parseStat reads /proc/PID/stat. The name may hold spaces and parentheses, so that fields are
// counted from its last closing one.
func (s *ProcessSample) parseStat(b []byte) error {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return fmt.Errorf("stat: no command name in %q", b)
	}
	s.Name = string(b[open+1 : end])
	fields := strings.Fields(string(b[end+1:])) // fields[0] is field 3 of proc(5)
	if len(fields) < 20 {
		return fmt.Errorf("stat: got %d fields after the name, want at least 20", len(fields))
	}
	var n [4]uint64
	for i, field := range []int{14, 15, 20, 22} {
		v, err := strconv.ParseUint(fields[field-3], 10, 64)
		if err != nil {
			return fmt.Errorf("stat: field %d: %w", field, err)
		}
		n[i] = v
	}
	s.UserSeconds, s.SystemSeconds = float64(n[0])/clockTicksPerSecond, float64(n[1])/clockTicksPerSecond
	s.Threads, s.StartTicks = int(n[2]), n[3]
	return nil
}

// parseStatus reads the "Name: number [kB]" lines of status and smaps_rollup, other lines left out.
func parseStatus(b []byte) map[string]int64 {
	out := map[string]int64{}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		name, rest, ok := strings.Cut(lines.Text(), ":")
		fields := strings.Fields(rest)
		if !ok || len(fields) == 0 {
			continue
		}
		if n, err := strconv.ParseInt(fields[0], 10, 64); err == nil {
			out[name] = n
		}
	}
	return out
}

// ProcessUse is what a process used during a run, and its memory at the end; or several of them, summed.
type ProcessUse struct {
	PIDs                []int    `json:"pids,omitempty"`
	Name                string   `json:"name,omitempty"` // of the last one
	UserSeconds         float64  `json:"user_seconds"`
	SystemSeconds       float64  `json:"system_seconds"`
	CPUSeconds          float64  `json:"cpu_seconds"`
	CPUSecondsPerGiB    *float64 `json:"cpu_seconds_per_gib,omitempty"`
	PeakRSSBytes        int64    `json:"peak_rss_bytes,omitempty"` // since the process began, not since the run
	RSSBytes            int64    `json:"rss_bytes,omitempty"`
	RSSAnonBytes        int64    `json:"rss_anon_bytes,omitempty"`
	RSSFileBytes        int64    `json:"rss_file_bytes,omitempty"`
	PSSBytes            int64    `json:"pss_bytes,omitempty"`
	Threads             int      `json:"threads,omitempty"`
	VoluntarySwitches   int64    `json:"voluntary_context_switches,omitempty"`
	PreemptedSwitches   int64    `json:"preempted_context_switches,omitempty"`
	SwitchesApproximate bool     `json:"context_switches_approximate,omitempty"` // a thread ended during a reading
}

// Use returns what pid used between two samples of it while bytes were moved. It fails when the
// process was replaced by another with its id.
func Use(pid int, before, after ProcessSample, bytes int64) (ProcessUse, error) {
	if before.StartTicks != after.StartTicks {
		return ProcessUse{}, fmt.Errorf("process %d ended during the run: its id has another process now", pid)
	}
	u := ProcessUse{
		PIDs:                []int{pid},
		Name:                after.Name,
		UserSeconds:         after.UserSeconds - before.UserSeconds,
		SystemSeconds:       after.SystemSeconds - before.SystemSeconds,
		PeakRSSBytes:        after.PeakRSSBytes,
		RSSBytes:            after.RSSBytes,
		RSSAnonBytes:        after.RSSAnonBytes,
		RSSFileBytes:        after.RSSFileBytes,
		PSSBytes:            after.PSSBytes,
		Threads:             after.Threads,
		VoluntarySwitches:   max(after.CtxVoluntary-before.CtxVoluntary, 0),
		PreemptedSwitches:   max(after.CtxPreempted-before.CtxPreempted, 0),
		SwitchesApproximate: before.ctxIncomplete || after.ctxIncomplete,
	}
	u.CPUSeconds = u.UserSeconds + u.SystemSeconds
	u.CPUSecondsPerGiB = ratio(u.CPUSeconds, float64(bytes)/(1<<30))
	return u, nil
}

// plus returns the sum of u and o, which moved bytes together. Memory that processes share counts in
// each, except in PSSBytes.
func (u ProcessUse) plus(o ProcessUse, bytes int64) ProcessUse {
	sum := ProcessUse{
		PIDs:                slices.Concat(u.PIDs, o.PIDs),
		Name:                o.Name,
		UserSeconds:         u.UserSeconds + o.UserSeconds,
		SystemSeconds:       u.SystemSeconds + o.SystemSeconds,
		PeakRSSBytes:        u.PeakRSSBytes + o.PeakRSSBytes,
		RSSBytes:            u.RSSBytes + o.RSSBytes,
		RSSAnonBytes:        u.RSSAnonBytes + o.RSSAnonBytes,
		RSSFileBytes:        u.RSSFileBytes + o.RSSFileBytes,
		PSSBytes:            u.PSSBytes + o.PSSBytes,
		Threads:             u.Threads + o.Threads,
		VoluntarySwitches:   u.VoluntarySwitches + o.VoluntarySwitches,
		PreemptedSwitches:   u.PreemptedSwitches + o.PreemptedSwitches,
		SwitchesApproximate: u.SwitchesApproximate || o.SwitchesApproximate,
	}
	sum.CPUSeconds = sum.UserSeconds + sum.SystemSeconds
	sum.CPUSecondsPerGiB = ratio(sum.CPUSeconds, float64(bytes)/(1<<30))
	return sum
}

func (u ProcessUse) text() string {
	line := ""
	if len(u.PIDs) > 1 {
		line = fmt.Sprintf("%d processes: ", len(u.PIDs))
	}
	line += fmt.Sprintf("%.2f CPU-s (user %.2f, system %.2f)", u.CPUSeconds, u.UserSeconds, u.SystemSeconds)
	if u.CPUSecondsPerGiB != nil {
		line += fmt.Sprintf(", %.3f CPU-s per GiB", *u.CPUSecondsPerGiB)
	}
	if u.PeakRSSBytes > 0 {
		line += fmt.Sprintf("; memory peak %s, now %s (anonymous %s, files %s)", byteSize(u.PeakRSSBytes), byteSize(u.RSSBytes), byteSize(u.RSSAnonBytes), byteSize(u.RSSFileBytes))
	}
	if u.Threads > 0 {
		line += fmt.Sprintf("; %d threads, context switches %s waited, %s preempted", u.Threads, thousands(u.VoluntarySwitches), thousands(u.PreemptedSwitches))
	}
	return line
}
