-- Whether who runs the installation has set what the key may send: its organization then leaves that alone.
ALTER TABLE api_keys ADD COLUMN quota_given BIGINT NOT NULL DEFAULT 0;
