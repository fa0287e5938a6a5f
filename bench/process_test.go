package bench

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// TestSampleProcess reads a process whose name holds spaces and parentheses.
func TestSampleProcess(t *testing.T) {
	got, err := sampleProcess("testdata/proc", 4321)
	if err != nil {
		t.Fatal(err)
	}
	want := ProcessSample{
		Name: "weir (main) x", StartTicks: 77777, UserSeconds: 12.34, SystemSeconds: 5.67, Threads: 9,
		RSSBytes: 60 << 20, PeakRSSBytes: 80 << 20, RSSAnonBytes: 20 << 20, RSSFileBytes: 40 << 20, PSSBytes: 58 << 20,
		CtxVoluntary: 310, CtxPreempted: 21,
	}
	if got != want {
		t.Errorf(" got %+v\nwant %+v", got, want)
	}
}

// TestSampleProcessWithoutRollup: the page of another user is not readable, the rest is.
func TestSampleProcessWithoutRollup(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/proc")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "4321", "smaps_rollup")); err != nil {
		t.Fatal(err)
	}
	if got, err := sampleProcess(dir, 4321); err != nil || got.PSSBytes != 0 || got.RSSBytes != 60<<20 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestSampleProcessRefuses(t *testing.T) {
	if _, err := sampleProcess("testdata/proc", 1); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "no process 1") {
		t.Errorf("no such process: %v", err)
	}
	for _, stat := range []string{"", "12 weir S", "12 (weir) S 1 2 3", strings.Replace(readFile(t, "testdata/proc/4321/stat"), "1234", "x", 1)} {
		var s ProcessSample
		if err := s.parseStat([]byte(stat)); err == nil {
			t.Errorf("%q was taken", stat)
		}
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestSampleSelf: CPU time grows with work, memory is there.
func TestSampleSelf(t *testing.T) {
	if runtime.GOOS != "linux" {
		if _, err := SampleProcess(os.Getpid()); err == nil {
			t.Error("there is no /proc here, yet a sample came")
		}
		return
	}
	before, err := SampleProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	after := before
	for sum := 0; after.UserSeconds+after.SystemSeconds < before.UserSeconds+before.SystemSeconds+0.05; sum++ {
		for i := range 5_000_000 {
			sum ^= i
		}
		if after, err = SampleProcess(os.Getpid()); err != nil {
			t.Fatal(err)
		}
	}
	use, err := Use(os.Getpid(), before, after, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	if use.CPUSeconds < 0.049 || *use.CPUSecondsPerGiB != use.CPUSeconds || use.PeakRSSBytes < use.RSSAnonBytes || use.RSSBytes == 0 {
		t.Errorf("got %+v", use)
	}
}

func TestUseRefusesAnotherProcess(t *testing.T) {
	if _, err := Use(7, ProcessSample{StartTicks: 1}, ProcessSample{StartTicks: 2}, 1); err == nil {
		t.Error("a process id that was used again went unnoticed")
	}
	u, err := Use(7, ProcessSample{StartTicks: 1}, ProcessSample{StartTicks: 1, UserSeconds: 2}, 0)
	if err != nil || u.CPUSecondsPerGiB != nil || u.CPUSeconds != 2 {
		t.Errorf("without bytes: %+v, %v", u, err)
	}
}

// TestUseOfSeveral: everything is summed, and CPU is for the bytes that they moved together.
func TestUseOfSeveral(t *testing.T) {
	one := ProcessUse{PIDs: []int{7}, UserSeconds: 1, SystemSeconds: 2, CPUSeconds: 3, PeakRSSBytes: 10, RSSBytes: 9, RSSAnonBytes: 8, RSSFileBytes: 7, PSSBytes: 6, Threads: 5, VoluntarySwitches: 4, PreemptedSwitches: 3}
	two := ProcessUse{PIDs: []int{8}, Name: "weir", UserSeconds: 1, CPUSeconds: 1, PeakRSSBytes: 1, SwitchesApproximate: true}
	got := one.plus(two, 2<<30)
	want := ProcessUse{
		PIDs: []int{7, 8}, Name: "weir", UserSeconds: 2, SystemSeconds: 2, CPUSeconds: 4, CPUSecondsPerGiB: pointer(2.0), PeakRSSBytes: 11, RSSBytes: 9,
		RSSAnonBytes: 8, RSSFileBytes: 7, PSSBytes: 6, Threads: 5, VoluntarySwitches: 4, PreemptedSwitches: 3, SwitchesApproximate: true,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf(" got %+v\nwant %+v", got, want)
	}
	if text := got.text(); !strings.HasPrefix(text, "2 processes: 4.00 CPU-s") {
		t.Errorf("got %s", text)
	}
}

// TestWatchOfSeveral: a process that is watched twice counts twice.
func TestWatchOfSeveral(t *testing.T) {
	w, err := startWatch([]int{os.Getpid(), os.Getpid()})
	if err != nil {
		t.Skip("no /proc here")
	}
	r := &Result{Bytes: 1 << 30}
	if err := w.fill(r); err != nil || len(r.Broker.PIDs) != 2 || r.Broker.RSSBytes < r.Client.RSSBytes || len(r.Client.PIDs) != 1 {
		t.Errorf("got %+v, %v", r, err)
	}
	w.brokers[1].before.StartTicks++
	if err := w.fill(&Result{}); err == nil {
		t.Error("a process that was replaced went unnoticed")
	}
}

func TestFilesystemOf(t *testing.T) {
	mounts := []byte("/dev/root / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /data/logs xfs rw 0 0\nbroken\n")
	for path, want := range map[string]string{"/data/logs/t/0.log": "xfs", "/data/logs2/0.log": "ext4", "/tmp/x.log": "tmpfs", "/tmp": "tmpfs"} {
		if got := filesystemOf(path, mounts); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

// TestBrokerFilesystem finds the filesystem of this process's own open log file.
func TestBrokerFilesystem(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "0.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := brokerFilesystem(os.Getpid())
	if runtime.GOOS == "linux" && got == "" {
		t.Error("no filesystem found")
	}
}

func TestLocalEnvironment(t *testing.T) {
	e := LocalEnvironment("test")
	if e.Cores < 1 || e.Kernel == "" || e.CPU == "" || e.Go != runtime.Version() || e.Client != "test" {
		t.Errorf("got %+v", e)
	}
	for _, missing := range []string{cpuModel("none"), kernelVersion("none")} {
		if missing == "" {
			t.Error("nothing stands for what cannot be read")
		}
	}
}
