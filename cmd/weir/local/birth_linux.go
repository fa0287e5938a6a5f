package local

import (
	"bytes"
	"fmt"
	"os"
	"strings"
)

// birth is when a process began: clock ticks since the boot, and which boot. ended says
// that it only waits to be collected.
func birth(pid int) (born string, ended bool, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", false, err
	}
	// The second field is the program's name in parentheses, which may hold anything, also parentheses.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const state, start = 0, 19 // proc(5) counts them as 3 and 22
	if len(fields) <= start {
		return "", false, fmt.Errorf("/proc/%d/stat has %d fields after the name", pid, len(fields))
	}
	ended = fields[state] == "Z" || fields[state] == "X"
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", false, err
	}
	return fields[start] + "@" + strings.TrimSpace(string(boot)), ended, nil
}
