//go:build torture

package torture

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// needMount leaves a test out where that was asked for.
func needMount(t *testing.T) {
	t.Helper()
	if os.Getenv("WEIR_TORTURE_MOUNT") == "no" {
		t.Skip("left out by WEIR_TORTURE_MOUNT=no")
	}
}

const cannotMount = "%s: %v\nThis test needs root and a kernel that lets it mount; WEIR_TORTURE_MOUNT=no leaves it out."

// mountMemory mounts a file system of so many MiB until the test ends.
func mountMemory(t *testing.T, options string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := unix.Mount("weir-torture", dir, "tmpfs", 0, options); err != nil {
		t.Fatalf(cannotMount, "mount a tmpfs", err)
	}
	t.Cleanup(func() { unmount(t, dir) })
	return dir
}

// mountShared mounts a folder what is unmounted in which is so everywhere. A process that
// has a network namespace of its own, of another test, has its own view of all mounts,
// and would keep a file system alive that has lost its power.
func mountShared(t *testing.T) (dir string) {
	t.Helper()
	dir = mountMemory(t, "size=1m")
	if err := unix.Mount("", dir, "", unix.MS_SHARED, ""); err != nil {
		t.Fatalf(cannotMount, "share a mount", err)
	}
	return dir
}

// unmount waits for a process that has just been killed to let go.
func unmount(t *testing.T, dir string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := unix.Unmount(dir, 0)
		if err == nil {
			return
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			t.Errorf("unmount %s: %v", dir, err)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// image is an ext4 file system in a file on the real disk.
type image struct {
	t         *testing.T
	file, dir string
	mounted   bool
	frozen    bool
}

func newImage(t *testing.T, megabytes int64) *image {
	t.Helper()
	return newImageIn(t, t.TempDir(), megabytes)
}

func newImageIn(t *testing.T, folder string, megabytes int64) *image {
	t.Helper()
	i := &image{t: t, file: filepath.Join(folder, "ext4.img"), dir: filepath.Join(mountShared(t), "disk")}
	if err := os.Mkdir(i.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(i.file)
	if err == nil {
		err = errors.Join(f.Truncate(megabytes<<20), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	i.command("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", i.file)
	t.Cleanup(i.unmount)
	i.mount()
	return i
}

func (i *image) command(name string, args ...string) {
	i.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		i.t.Fatalf(cannotMount, name, errors.Join(err, errors.New(string(out))))
	}
}

// mount replays the journal of a file system that lost power.
func (i *image) mount() {
	i.t.Helper()
	i.command("mount", "-o", "loop", i.file, i.dir)
	i.mounted = true
}

func (i *image) unmount() {
	if i.mounted {
		unmount(i.t, i.dir)
		i.mounted = false
	}
}

// freezeCall and thawCall are FIFREEZE and FITHAW.
const (
	freezeCall = 0xc0045877
	thawCall   = 0xc0045878
)

// freeze has everything that writes to the file system hang, until thaw.
func (i *image) freeze() {
	i.t.Helper()
	i.call(freezeCall)
	i.frozen = true
}

func (i *image) thaw() {
	if i.frozen {
		i.call(thawCall)
		i.frozen = false
	}
}

func (i *image) call(number uint) {
	i.t.Helper()
	d, err := os.Open(i.dir)
	if err != nil {
		i.t.Fatal(err)
	}
	defer d.Close()
	if err := unix.IoctlSetPointerInt(int(d.Fd()), number, 0); err != nil {
		i.t.Fatalf(cannotMount, "freeze or thaw a file system", err)
	}
}

// ext4's shutdown call (EXT4_IOC_SHUTDOWN, the same number as XFS's), and its
// flag for: leave the journal as it is on the disk.
const (
	shutdownCall   = 0x8004587d
	noFlushJournal = 2
)

// losePower has the file system of a broker forget, from this moment on, everything that
// is not on its disk. What runs on it gets errors.
//
// The broker stands still at that moment, since the call is not atomic as a loss of power
// is: an fdatasync of a file with room preallocated that is under way then returns success
// for what the journal does not take any more (a loop of pwrite and fdatasync on 8 files
// loses the write last acknowledged in every second call; Linux 6.18). A process stands
// still when its system calls have ended.
func (i *image) losePower(b *broker) {
	i.t.Helper()
	b.halt()
	defer b.proceed()
	d, err := os.Open(i.dir)
	if err != nil {
		i.t.Fatal(err)
	}
	defer d.Close()
	if err := unix.IoctlSetPointerInt(int(d.Fd()), shutdownCall, noFlushJournal); err != nil {
		i.t.Fatalf(cannotMount, "the shutdown call of ext4", err)
	}
}
