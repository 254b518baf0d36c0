//go:build peers

package peers_test

import "testing"

func TestMinIO(t *testing.T) {
	endpoint := startMinIO(t)
	env := []string{"PEER_S3_ENDPOINT=" + endpoint, "PEER_S3_ACCESS_KEY=" + accessKey, "PEER_S3_SECRET_KEY=" + secretKey, "PEER_S3_KMS_KEY=" + kmsKey}
	const without = "TestPeerMinIO/suite/unfinished" // it lists unfinished uploads by their whole name only
	t.Run("blob suite", func(t *testing.T) { suite(t, "internal/aws", "TestPeerMinIO", without, env...) })
	t.Run("round trip", func(t *testing.T) {
		p := strangers(t, startLocal(t).endpoint("DYNAMODB"), endpoint)
		p.aws(t, "s3", "mb", "s3://lake")
		roundTrip(t, p, "s3://lake/there", 2000)
	})
}

func TestMoto(t *testing.T) {
	endpoint := startMoto(t)
	p := strangers(t, endpoint, endpoint)
	p.aws(t, "s3", "mb", "s3://lake")
	roundTrip(t, p, "s3://lake/there", 300) // its scans take a time that grows with the square of the table
}
