package filesystem

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
)

// Where ext's superblock has what says its size (Documentation/filesystems/ext4/super.rst of Linux).
const (
	superblock     = 1024
	blocksLow      = 0x4
	logBlockSize   = 0x18
	magic          = 0x38
	incompatible   = 0x60
	blocksHigh     = 0x150
	superblockSize = 1024
	extMagic       = 0xEF53
	has64Bit       = 0x80
)

// extGrown tells whether ext fills its device, mounted or not.
func extGrown(device string) (bool, error) {
	opened, err := os.Open(device)
	if err != nil {
		return false, err
	}
	defer opened.Close()
	read := make([]byte, superblockSize)
	if _, err := opened.ReadAt(read, superblock); err != nil {
		return false, err
	}
	if binary.LittleEndian.Uint16(read[magic:]) != extMagic {
		return false, fmt.Errorf("%s has no ext file system", device)
	}
	block := int64(1024) << binary.LittleEndian.Uint32(read[logBlockSize:])
	blocks := int64(binary.LittleEndian.Uint32(read[blocksLow:]))
	if binary.LittleEndian.Uint32(read[incompatible:])&has64Bit != 0 {
		blocks |= int64(binary.LittleEndian.Uint32(read[blocksHigh:])) << 32
	}
	size, err := opened.Seek(0, io.SeekEnd)
	return size-blocks*block < block, err
}
