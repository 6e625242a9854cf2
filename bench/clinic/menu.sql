-- What every page draws first: the menu, and what this kind of user may do. Cacheable ([cache:reference]).
\set type random(0, 3)
SELECT m.title AS module, n.title, n.path FROM modules m JOIN menus n ON n.module_id = m.id ORDER BY m.position, n.position, n.id;
SELECT p.code FROM role_permissions r JOIN permissions p ON p.id = r.permission_id WHERE r.user_type = (ARRAY['admin', 'staff', 'provider', 'patient'])[:type + 1] ORDER BY p.code;
