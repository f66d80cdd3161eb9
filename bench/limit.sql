-- What booking a course writes, and nothing else: the same rows in the same shape of transaction, under the same role
-- and policies. -D last=0 books one visit, last=5 six; each visit takes three resources.
-- So many that two do not meet: up to the year 87,000.
\set n random(0, 1000000000000)
BEGIN;
SELECT set_config('app.chain', :chain::text, true), set_config('app.sites', '*', true), set_config('app.patient', '', true), set_config('app.actor', 'pgbench', true);
WITH claim AS (
    INSERT INTO idempotency (chain_id, actor, method, request_id, request_hash)
    VALUES (:chain::uuid, 'pgbench', 'BookCourse', md5('r' || :n::bigint)::uuid, decode(md5('h'), 'hex'))
    ON CONFLICT DO NOTHING RETURNING request_id
)
SELECT (SELECT count(*) FROM claim), (
    SELECT count(pg_advisory_xact_lock(hashtextextended(id, 0)))
    FROM unnest(ARRAY['1' || :n::bigint % :teams::bigint, '2' || :n::bigint % :teams::bigint, '3' || :n::bigint % :teams::bigint, 'p' || :n::bigint]) AS id
);
WITH slot AS (
    SELECT k, md5('v' || k || '-' || :n::bigint)::uuid AS visit_id,
        timestamptz '2040-01-01' + (:n::bigint / :teams::bigint) * interval '90 minutes' + k * interval '2 days' AS start_at
    FROM generate_series(0, :last::int) AS k
), new_course AS (
    INSERT INTO course (chain_id, id, site_id, patient_id, protocol_version_id, route_code, booked_at, version)
    VALUES (:chain::uuid, md5('c' || :n::bigint)::uuid, :site::uuid, md5('p' || :n::bigint)::uuid, :protocol_version::uuid, 'iv', now(), 1)
), new_visits AS (
    INSERT INTO visit (chain_id, id, course_id, site_id, patient_id, phase_code, visit_type_code, route_code, band_code,
        telehealth, start_at, end_at, resources, status, segment_minutes)
    SELECT :chain::uuid, visit_id, md5('c' || :n::bigint)::uuid, :site::uuid, md5('p' || :n::bigint)::uuid, 'induction',
        'infusion', 'iv', 'any', false, start_at, start_at + interval '60 minutes',
        '[["room", "00000000-0000-0000-0000-000000000000"], ["nurse", "00000000-0000-0000-0000-000000000000"], ["pump", "00000000-0000-0000-0000-000000000000"]]',
        'BOOKED', '[]'
    FROM slot
    RETURNING chain_id, site_id, id, course_id, status, start_at
), new_site_changes AS (
    INSERT INTO site_change (chain_id, site_id, kind, visit_id, course_id, status, course_version, at)
    SELECT chain_id, site_id, 'VISIT_CHANGE_KIND_BOOKED', id, course_id, status, 1, now() FROM new_visits
    ORDER BY start_at, id
), new_changes AS (
    INSERT INTO visit_status_change (chain_id, visit_id, status, site_id, at, actor)
    SELECT :chain::uuid, visit_id, 'BOOKED', :site::uuid, now(), 'pgbench' FROM slot
), new_presences AS (
    INSERT INTO presence (chain_id, visit_id, patient_id, start_at, end_at)
    SELECT :chain::uuid, visit_id, md5('p' || :n::bigint)::uuid, start_at, start_at + interval '60 minutes' FROM slot
), new_allocations AS (
    INSERT INTO allocation (chain_id, visit_id, site_id, resource_id, lane, start_at, end_at)
    SELECT :chain::uuid, visit_id, :site::uuid,
        ('00000000-0000-0000-0000-' || lpad(to_hex(kind * 1000000 + :n::bigint % :teams::bigint), 12, '0'))::uuid, 0,
        start_at, start_at + interval '60 minutes'
    FROM slot, generate_series(1, 3) AS kind
), new_events AS (
    INSERT INTO outbox (chain_id, event_id, aggregate_id, subject, payload, traceparent, published_at)
    VALUES (:chain::uuid, md5('e' || :n::bigint)::uuid, md5('c' || :n::bigint)::uuid, 'pgbench.v1.course.booked',
        decode(repeat('00', 400 + 150 * :last::int), 'hex'), '00-00000000000000000000000000000001-0000000000000001-01', now())
), new_audit AS (
    INSERT INTO audit (chain_id, actor, method, kind, cause, ids, at)
    VALUES (:chain::uuid, 'pgbench', 'atoll.scheduling.v1.CourseService.BookCourse', 'AUDIT_CHANGE',
        '00000000-0000-0000-0000-000000000000',
        '{"site_id": "site_00000000000000000000000000", "patient_id": "patient_00000000000000000000000000", "course.id": "course_00000000000000000000000000"}', now())
)
UPDATE idempotency SET response = decode(repeat('00', 400 + 400 * :last::int), 'hex')
WHERE chain_id = :chain::uuid AND actor = 'pgbench' AND method = 'BookCourse' AND request_id = md5('r' || :n::bigint)::uuid;
COMMIT;
