package loop

import (
	"bufio"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// FIFREEZE and FITHAW of linux/fs.h: _IOWR('X', 119, int) and _IOWR('X', 120, int).
const (
	freeze = 0xC0045877
	thaw   = 0xC0045878
)

// Freeze stops all writing to the file system that is mounted from a file's device, with everything
// written out, until the returned function is called. It does nothing where none is mounted, or where
// it is mounted in another mount namespace alone: a copy is then as after a crash.
func Freeze(file string) func() {
	for _, place := range mountsOf(Find(file)) {
		if control(place, freeze) == nil {
			return func() { control(place, thaw) }
		}
	}
	return func() {}
}

// Thaw ends a freeze that a killed run has left on a file's device.
func Thaw(file string) {
	for _, place := range mountsOf(Find(file)) {
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

// mountsOf returns where a device is mounted in this mount namespace.
func mountsOf(device string) []string {
	mounts, err := os.Open("/proc/self/mounts")
	if device == "" || err != nil {
		return nil
	}
	defer mounts.Close()
	places := []string{}
	for lines := bufio.NewScanner(mounts); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 2 && fields[0] == device {
			places = append(places, unescape.Replace(fields[1]))
		}
	}
	return places
}
