package loop

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// FIFREEZE and FITHAW of linux/fs.h: _IOWR('X', 119, int) and _IOWR('X', 120, int).
const (
	freeze = 0xC0045877
	thaw   = 0xC0045878
)

// Freeze stops all writing to the file system that is mounted from a file's device, with everything
// written out, until the returned function is called. It looks into the mount namespaces of this and
// of the named processes, and does nothing where none has it mounted.
func Freeze(file string, processes ...int) func() {
	for _, place := range mountsOf(Find(file), processes) {
		if control(place, freeze) == nil {
			return func() { control(place, thaw) }
		}
	}
	return func() {}
}

// Thaw ends a freeze that a killed run has left on a file's device.
func Thaw(file string, processes ...int) {
	for _, place := range mountsOf(Find(file), processes) {
		if control(place, thaw) == nil {
			return
		}
	}
}

func control(place string, request uint) error {
	mounted, err := os.Open(place)
	if err != nil {
		return err
	}
	defer mounted.Close()
	return unix.IoctlSetInt(int(mounted.Fd()), request, 0)
}

// unescape undoes what the kernel writes for spaces and the like in /proc/mounts (proc(5)).
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// mountsOf returns where a device is mounted in the mount namespaces of these processes and of this
// one, as paths that this one can open (/proc/<pid>/root, proc(5)).
func mountsOf(device string, processes []int) []string {
	places := []string{}
	for _, process := range append([]int{os.Getpid()}, processes...) {
		about := fmt.Sprintf("/proc/%d", process)
		mounts, err := os.Open(filepath.Join(about, "mounts"))
		if device == "" || err != nil { // no such process any more
			continue
		}
		for lines := bufio.NewScanner(mounts); lines.Scan(); {
			if fields := strings.Fields(lines.Text()); len(fields) > 2 && fields[0] == device {
				places = append(places, filepath.Join(about, "root", unescape.Replace(fields[1])))
			}
		}
		mounts.Close()
	}
	return places
}
