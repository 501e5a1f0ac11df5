// Package files makes, grows and copies sparse files.
package files

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Create makes an empty sparse file of size bytes, or replaces what a killed run has left there.
func Create(path string, size int64) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err = file.Truncate(size); err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// Grow makes a file longer; it never makes one shorter.
func Grow(path string, size int64) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	about, err := file.Stat()
	if err == nil && about.Size() < size {
		if err = file.Truncate(size); err == nil {
			err = file.Sync()
		}
	}
	return errors.Join(err, file.Close())
}

// Copy makes target a copy of source, of at least size bytes. Holes stay holes, and where the file
// system can share blocks (FICLONE of ioctl_ficlone(2)) nothing is copied at all.
func Copy(source, target string, size int64) error {
	from, err := os.Open(source)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(target, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if unix.IoctlFileClone(int(to.Fd()), int(from.Fd())) != nil {
		err = copyData(from, to)
	}
	if about, statErr := from.Stat(); err == nil && statErr == nil {
		err = to.Truncate(max(size, about.Size()))
	}
	if err == nil {
		err = to.Sync()
	}
	return errors.Join(err, to.Close())
}

// copyData copies what is no hole (SEEK_DATA and SEEK_HOLE of lseek(2)).
func copyData(from, to *os.File) error {
	about, err := from.Stat()
	if err != nil {
		return err
	}
	for end := int64(0); end < about.Size(); {
		start, err := from.Seek(end, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // nothing but a hole is left
			return nil
		}
		if err != nil {
			return err
		}
		if end, err = from.Seek(start, unix.SEEK_HOLE); err != nil {
			return err
		}
		section := io.NewSectionReader(from, start, end-start)
		if _, err := io.Copy(io.NewOffsetWriter(to, start), section); err != nil {
			return err
		}
	}
	return nil
}
