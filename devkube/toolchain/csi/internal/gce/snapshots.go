package gce

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/GoogleCloudPlatform/k8s-cloud-provider/pkg/cloud/meta"
	computev1 "google.golang.org/api/compute/v1"
	cloud "sigs.k8s.io/gcp-compute-persistent-disk-csi-driver/pkg/gce-cloud-provider/compute"
	"sigs.k8s.io/gcp-compute-persistent-disk-csi-driver/pkg/parameters"

	"storage-tiers.invalid/toolchain/csi/internal/disks"
)

func describedSnapshot(snapshot disks.Snapshot) *computev1.Snapshot {
	labels := map[string]string{}
	_ = json.Unmarshal([]byte(snapshot.Attributes["labels"]), &labels)
	return &computev1.Snapshot{
		Name: snapshot.Name, DiskSizeGb: snapshot.SizeGiB, Status: "READY", SourceDisk: snapshot.Attributes["sourceDisk"],
		CreationTimestamp: snapshot.Created.Format(time.RFC3339), Labels: labels,
		SelfLink: fmt.Sprintf("%sprojects/%s/global/snapshots/%s", cloud.BasePath, snapshot.Attributes["project"], snapshot.Name),
	}
}

// GetSnapshot returns a snapshot.
func (c *compute) GetSnapshot(_ context.Context, _, name string) (*computev1.Snapshot, error) {
	for _, each := range c.store.Snapshots() {
		if each.ID == name {
			return describedSnapshot(each), nil
		}
	}
	return nil, notFound(name)
}

// ListSnapshots returns all snapshots, or those of one disk: `sourceDisk eq <expression>`.
func (c *compute) ListSnapshots(_ context.Context, filter string) ([]*computev1.Snapshot, string, error) {
	wanted := regexp.MustCompile("")
	if filter != "" {
		expression, of := strings.CutPrefix(filter, "sourceDisk eq ")
		compiled, err := regexp.Compile(expression)
		if !of || err != nil {
			return nil, "", refused("Invalid value for field 'filter': '%s'.", filter)
		}
		wanted = compiled
	}
	all := []*computev1.Snapshot{}
	for _, each := range c.store.Snapshots() {
		if described := describedSnapshot(each); wanted.MatchString(described.SourceDisk) {
			all = append(all, described)
		}
	}
	return all, "", nil
}

// CreateSnapshot keeps what a disk holds now.
func (c *compute) CreateSnapshot(ctx context.Context, project string, key *meta.Key, name string, params parameters.SnapshotParameters) (*computev1.Snapshot, error) {
	if known, err := c.GetSnapshot(ctx, project, name); err == nil {
		return known, nil
	}
	labels, err := json.Marshal(params.Labels)
	if err != nil {
		return nil, err
	}
	made, err := c.store.CreateSnapshot(disks.Snapshot{
		ID: name, Name: name, Disk: diskID(key),
		Attributes: map[string]string{"sourceDisk": c.GetDiskSourceURI(project, key), "project": project, "labels": string(labels)},
	})
	return describedSnapshot(made), answer(err)
}

// DeleteSnapshot deletes a snapshot.
func (c *compute) DeleteSnapshot(_ context.Context, _, name string) error {
	return answer(c.store.DeleteSnapshot(name))
}

// CreateImage is refused: an image has no file here.
func (c *compute) CreateImage(context.Context, string, *meta.Key, string, parameters.SnapshotParameters) (*computev1.Image, error) {
	return nil, refused("snapshots of the type images are not rehearsed here")
}
